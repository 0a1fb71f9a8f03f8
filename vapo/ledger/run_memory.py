"""What a run's folder remembers of its ledger, so that a lost one is noticed after a restart too.

Invariant: a part that keeps files of a run (gateway, trainer) never works on a Redis without the
ledger those files belong to, unless someone removed :data:`FILE` to say so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from vapo.durable import sync
from vapo.ledger.connection import connect
from vapo.ledger.keys import Keys
from vapo.ledger.ledger import Ledger
from vapo.ledger.patience import Seconds, no_seconds
from vapo.ledger.run_watch import read_mark
from vapo.ledger.trouble import LOST
from vapo.settings import RunSettings, Settings
from vapo.startup import StartupError

FILE = "ledger.json"
"""In ``run.directory``: the name of the run, and the mark of its ledger."""


def open_ledger(settings: Settings, refusal_seconds: Seconds = no_seconds) -> Ledger:
    """The ledger of a run whose folder this part has; see :meth:`Ledger.open`. A part that has
    found nothing else against its start calls :func:`remember` afterwards.

    Raises:
        StartupError: Redis does not hold the ledger that the folder remembers.
        RedisError: it does not answer.
    """
    _check(settings)
    return Ledger.open(settings, refusal_seconds=refusal_seconds)


def remember(ledger: Ledger) -> None:
    """Note in the run's folder which ledger belongs to it. Raises StartupError: it cannot be."""
    run, mark = ledger.settings.run, ledger.watch.mark
    if mark is None or _remembered(run) == mark:
        return
    partial = _file(run).with_suffix(f".{os.getpid()}.partial")
    try:
        run.directory.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({"run": run.name, "mark": mark}) + "\n", "utf-8")
        sync(partial)
        partial.replace(_file(run))
    except OSError as error:
        raise StartupError(
            f"run.directory: {_file(run)} cannot be written: {error.strerror}; give "
            "this user leave to write there, or name another folder"
        ) from None


def _check(settings: Settings) -> None:
    known = _remembered(settings.run)
    if known is None:
        return
    redis = connect(settings.redis)
    try:
        held = read_mark(redis, Keys(settings.run.name))
    finally:
        redis.close()
    if held != known:
        raise StartupError(
            f"{LOST}: redis.url={settings.redis.url} does not hold the queues of run "
            f"{settings.run.name!r} that {_file(settings.run)} remembers; give Redis its data back,"
            " or remove that file to go on from the newest checkpoint with empty queues "
            "(docs/operations.md, When Redis loses a run)"
        )


def _remembered(run: RunSettings) -> str | None:
    try:
        found = json.loads(_file(run).read_text("utf-8"))
        return str(found["mark"]) if found["run"] == run.name else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartupError(
            f"{_file(run)} cannot be read ({error!r}); remove it if Redis holds run {run.name!r}"
        ) from None


def _file(run: RunSettings) -> Path:
    return run.directory / FILE
