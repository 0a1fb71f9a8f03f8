"""The ``vapo`` command with trivial programs as parts; supervisor, folder and Redis are real.

python -m tests.support.stand_in_stack up --set ...
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from vapo.cli import main
from vapo.local import stack

ROOT = Path(__file__).parents[2]
PART = Path(__file__).with_name("stand_in_part.py")


def launch_stand_in(part: str, shape: stack.Shape) -> list[str]:
    """In the place of `vapo.local.stack.launcher`."""
    return [sys.executable, str(PART), part]


def command(*words: str) -> list[str]:
    """The command line of the ``vapo`` command with stand-ins."""
    return [sys.executable, "-m", __name__, *words]


def environment(**variables: str) -> dict[str, str]:
    """Of such a command, wherever it is run."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **variables}


@contextmanager
def started(
    words: list[str], folder: Path, variables: Mapping[str, str] | None = None, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """The command, running in `folder`; it and all it started are gone afterwards."""
    running = subprocess.Popen(
        command(*words),
        cwd=folder,
        env=environment(**(variables or {})),
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options},
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()


def read_until(running: subprocess.Popen[str], words: str) -> str:
    """What it prints up to the first line with `words` in it."""
    assert running.stdout is not None
    said = ""
    for line in running.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}:\n{said}")


def parts_of(folder: Path) -> dict[str, int]:
    """Process ids of the parts that run in a run's folder."""
    found = {file.stem: file.read_text() for file in (folder / "pids").glob("*.pid")}
    return {name: int(pid) for name, pid in found.items() if pid and psutil.pid_exists(int(pid))}


if __name__ == "__main__":
    # As a terminal starts it: what is started in a shell's background inherits an ignored SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stack.launcher = launch_stand_in
    sys.exit(main())
