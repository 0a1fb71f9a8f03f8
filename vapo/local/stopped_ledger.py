"""The ledger of a run on this machine, to be read whether the run is live or stopped.

Invariants: while the run's Redis answers, that one is read. Of a stopped run a copy of the private
Redis's files is read by a server of its own, which is gone when the context ends; nothing in the
run's folder changes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vapo.ledger.connection import trouble_at, wait_for_redis
from vapo.ledger.trouble import Kind
from vapo.local.private_redis import PrivateRedis, RedisServerError, prepare, process_spec, wait_ready
from vapo.local.run_folders.known_runs import Run, look
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.supervision.managed_process import ManagedProcess
from vapo.settings import RedisSettings, Settings, SettingsError
from vapo.startup import UnavailableError

PATIENCE_SECONDS = 10.0
"""For a Redis that should be there, and is perhaps just starting again."""
LOADING_SECONDS = 600.0
"""For a private Redis to load the copy of its files, which may hold gigabytes."""


@contextmanager
def readable_redis(run: Run, settings: Settings) -> Iterator[RedisSettings]:
    """A Redis that holds the ledger of ``run``, whose settings these are.

    Raises:
        UnavailableError: the Redis the settings name, or a live run's, does not answer.
        RedisServerError: a stopped run left no Redis files, or they cannot be served.
        OSError: they cannot be copied.
    """
    redis = settings.redis.model_copy(update={"patience_seconds": PATIENCE_SECONDS})
    if run.live or not is_private(run.folder, redis):
        wait_for_redis(redis)
        yield redis
    elif _lies_here(run.folder, redis) and _answers(redis):
        yield redis
    else:
        with _copied(run.folder) as copy:
            yield copy


def is_private(folder: RunFolder, redis: RedisSettings) -> bool:
    """Whether the run's Redis is the one that lies in its folder; the folder may have moved, or be
    a copy."""
    own, named = _own_password(folder), redis.password_file
    if named is None or not own.exists():
        return False
    return not named.exists() or named.read_bytes() == own.read_bytes()


def _lies_here(folder: RunFolder, redis: RedisSettings) -> bool:
    """Whether the Redis of these settings, if it runs, is this folder's and not its original's."""
    named = redis.password_file
    return named is not None and named.resolve() == _own_password(folder).resolve()


def _own_password(folder: RunFolder) -> Path:
    return folder.redis_directory / "password"


def _answers(redis: RedisSettings) -> bool:
    """Whether the run's own Redis runs; another run's at the same port refuses the password."""
    try:
        trouble = trouble_at(redis)
        return trouble is None or trouble.kind is not Kind.SILENT
    except SettingsError:
        return False


@contextmanager
def _copied(folder: RunFolder) -> Iterator[RedisSettings]:
    with tempfile.TemporaryDirectory(prefix="vapo-ledger-") as scratch:
        server = _copy(folder, Path(scratch) / "redis")
        if look(folder).live:
            raise UnavailableError(f"{folder.directory} was started meanwhile; try again")
        log = Path(scratch) / "redis.log"
        process = ManagedProcess(process_spec(server, log, Path(scratch) / "redis.pid"))
        try:
            wait_ready(server, LOADING_SECONDS)
            yield server.settings
        finally:
            process.stop()


def _copy(folder: RunFolder, to: Path) -> PrivateRedis:
    source = folder.redis_directory
    if not any(source.glob("append*")):
        raise RedisServerError(f"{source} holds no data of a private Redis; nothing can be read")
    try:
        shutil.copytree(source, to)
    except shutil.Error as error:
        raise OSError(f"{source} cannot be copied to {to.parent}: {error}") from None
    return prepare(to)
