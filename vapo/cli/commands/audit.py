"""`vapo audit`: where every sample of a run is, live or stopped; exit status 1 if any is lost.

A run on this machine is read where it lies: its Redis while that answers, else a copy of what it
left, which a Redis of the command's own serves meanwhile. With settings (`--config`, `--preset`,
`--set`) the Redis they name is read. Nothing is changed. What waits, is leased or is in the
trainer's hands is in a queue, so a busy run has lost nothing either.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis.exceptions import RedisError

from vapo.cli.connection_options import add_run_option, chosen_run
from vapo.cli.errors import CommandError
from vapo.cli.output.progress_line import ProgressLine
from vapo.cli.settings_options import add_settings_options, settings_from
from vapo.ledger.audit import audit, is_empty
from vapo.ledger.books import Books
from vapo.ledger.connection import connect
from vapo.ledger.keys import Keys
from vapo.local.private_redis import RedisServerError
from vapo.local.run_folders.run_folder import RunFolderError
from vapo.local.stopped_ledger import PATIENCE_SECONDS, readable_redis
from vapo.settings import RedisSettings, SettingsError
from vapo.startup import StartupError

LOST_SHOWN = 100
REFUSALS = (RedisError, RedisServerError, RunFolderError, SettingsError, StartupError, OSError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = __doc__
    add_run_option(parser)
    add_settings_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one JSON object: counts by place, and the first lost ids."""
    given = [name for name in ("config", "preset", "set") if getattr(arguments, name)]
    if given and arguments.run is not None:
        raise CommandError(f"--run has settings of its own; leave out it or --{given[0]}")
    with ProgressLine() as progress, progress.waiting("reading the ledger"):
        try:
            with _named_books(arguments) if given else _books_of_a_run(arguments.run) as books:
                if is_empty(books):
                    raise CommandError(f"Redis holds nothing of {books.keys.run!r}; see run.name")
                found = audit(books)
        except REFUSALS as error:
            raise CommandError(f"cannot read the ledger: {error}") from None
    lost = list(found.lost)
    print(json.dumps({"places": found.places, "lost": len(lost), "lost_ids": lost[:LOST_SHOWN]}))
    return 1 if lost else 0


@contextmanager
def _named_books(arguments: argparse.Namespace) -> Iterator[Books]:
    settings = settings_from(arguments)
    with _opened(settings.redis, settings.run.name) as books:
        yield books


@contextmanager
def _books_of_a_run(named: Path | None) -> Iterator[Books]:
    chosen = chosen_run(named)
    settings = chosen.folder.read_settings()
    with readable_redis(chosen, settings) as redis, _opened(redis, settings.run.name) as books:
        yield books


@contextmanager
def _opened(redis: RedisSettings, name: str) -> Iterator[Books]:
    with connect(redis, PATIENCE_SECONDS) as client:
        yield Books(client, Keys(name))
