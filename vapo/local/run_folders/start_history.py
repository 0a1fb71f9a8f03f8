"""With which settings a run was started, start by start: `settings.history.jsonl` in its folder.

Invariants: a line is added only for a start that its parts have accepted; it holds no secret; what
differs from start to start by itself (tokens, ports, the private Redis) is no change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vapo import __version__
from vapo.model.folder.identity import ModelIdentity, model_identity
from vapo.settings import Settings, dump_settings
from vapo.startup import StartupError

HISTORY_FILE = "settings.history.jsonl"
CHECKPOINT_MANIFEST = "manifest.json"
OWN = {"security", "redis.url", "redis.password_file"}
"""Sections and settings that a stack fills in; and all ports."""

Changes = dict[str, tuple[Any, Any]]
"""Setting to its value before and after."""


class AnotherModelError(StartupError):
    """A run was begun with another model than it is started with."""


def check_model(directory: Path, last: Settings | None, settings: Settings) -> None:
    """Return when `settings` name the model that the run in `directory` was begun with, or that
    cannot be told.

    Args:
        last: of the run's last start, if there are any.

    Raises:
        AnotherModelError: they name another one.
    """
    before, begun_with = _recorded(directory) or _model_of(last)
    here = settings.model.path.resolve()
    given = model_identity(here)
    differs = begun_with.differs_in(given) if begun_with and given else ""
    if differs:
        where = "what lies there now" if here == before else f"model.path={here}"
        raise AnotherModelError(
            f"the run in {directory} was begun with the model in {before}, and {where} has "
            f"{differs}; give the run its own model (--model {before}), or begin another run "
            "(--run NAME)"
        )


def changes(last: Settings, settings: Settings) -> Changes:
    """What differs between two starts of a run."""
    before, after = (dict(_leaves(dump_settings(one))) for one in (last, settings))
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    }


def describe_resume(step: int | None, changed: Changes) -> str:
    """One line on what a start goes on from."""
    begins = "no checkpoint yet, so it begins anew" if step is None else f"resuming at step {step}"
    if not changed:
        return f"{begins}; settings as at the last start"
    shown = [f"{key} {_shown(old)} -> {_shown(new)}" for key, (old, new) in changed.items()]
    return f"{begins}; changed: {', '.join(shown)}"


def newest_step(settings: Settings) -> int | None:
    """The step of the newest checkpoint of a run, or None."""
    folders = settings.run.checkpoints_directory.glob(f"[0-9]*/{CHECKPOINT_MANIFEST}")
    steps = [int(file.parent.name) for file in folders if file.parent.name.isdecimal()]
    return max(steps, default=None)


def note_start(directory: Path, settings: Settings, step: int | None, changed: Changes) -> None:
    """Add a line on a start that was accepted."""
    identity = model_identity(settings.model.path)
    line = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "vapo": __version__,
        "step": step,
        "changed": changed,
        "model": asdict(identity) if identity else None,
        "settings": dump_settings(settings),
    }
    with (directory / HISTORY_FILE).open("a", encoding="utf-8") as history:
        history.write(json.dumps(line) + "\n")


def _recorded(directory: Path) -> tuple[Path, ModelIdentity] | None:
    """The model of the first start there is a line about, and where it lay last."""
    try:
        lines = (directory / HISTORY_FILE).read_text(encoding="utf-8").splitlines()
        model = json.loads(lines[0])["model"]
        path = Path(json.loads(lines[-1])["settings"]["model"]["path"])
        return (path, ModelIdentity(**model)) if model else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _model_of(last: Settings | None) -> tuple[Path | None, ModelIdentity | None]:
    return (last.model.path, model_identity(last.model.path)) if last else (None, None)


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = f"{path}{name}"
        if key in OWN or name == "port":
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _shown(value: Any) -> str:
    return "unset" if value is None else str(value)
