"""Errors of a start that a person can mend: one line on stderr and an exit status, no traceback.

Invariants:
- only a `StartupError` is told so, and its text names the thing, the value and the remedy; anything
  else is a fault of the program and keeps its traceback (status 1, Python's own);
- the exit statuses are those of sysexits.h. 78, `EX_CONFIG`: it will be so at every start until
  someone changes something, so `vapo up` gives up at once. 69, `EX_UNAVAILABLE`: what the part
  needs is not there now, so trying again is worth it.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

FILE_REMEDIES = {
    errno.ENOSPC: "free some space, or name a folder on another disk",
    errno.EDQUOT: "the quota is used up: free some space, or name a folder elsewhere",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "give this user leave, or name another folder",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files of this machine",
    errno.ENAMETOOLONG: "name a folder with a shorter path",
}


class StartupError(Exception):
    """A part cannot work as it is configured; the text names the thing, the value and the remedy.

    Errors of this kind that are raised later, while the part serves, are handled where they occur.
    """

    status = os.EX_CONFIG
    """The exit status of a part that ends with it."""


class UnavailableError(StartupError):
    """What a part needs is not there now: Redis is away, a port or a run is taken."""

    status = os.EX_UNAVAILABLE


def exit_status_of(program: str, work: Callable[[], int]) -> int:
    """The exit status of ``work``, or of the `StartupError` that ended it, told on stderr."""
    try:
        return work()
    except StartupError as error:
        print(f"{program}: {one_line(error)}", file=sys.stderr)
        return error.status


def one_line(error: BaseException) -> str:
    """The text of an error, its line breaks as spaces."""
    return " ".join(str(error).split())


def file_trouble(error: OSError) -> str:
    """What is wrong with which file, and what helps, in one line."""
    said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    remedy = FILE_REMEDIES.get(error.errno or 0)
    return f"{said}; {remedy}" if remedy else said


def check_writable(setting: str, folder: Path) -> None:
    """Make ``folder`` if it is not there, and make sure that files can be written in it.

    Args:
        setting: what names the folder, for the text.

    Raises:
        StartupError: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StartupError(
            f"{setting}: {folder} cannot be written: {error.strerror}; give this user leave to "
            "write there, or name another folder"
        ) from None
