"""A lock on an open file that the kernel frees when its holder dies.

Invariant: where the file system has no locks nothing is taken for locked; that is said, with the
remedy.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

from vapo.startup import StartupError


class NoLocksError(StartupError):
    """A file system has no locks; the text names the file and the remedy."""


def try_lock(descriptor: int, file: Path) -> bool:
    """Lock an open file at once; False when another process holds it.

    Raises:
        NoLocksError: its file system cannot lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise NoLocksError(
            f"{file} cannot be locked: {error.strerror}; its file system has no file locks, so two "
            "processes could work there at once unnoticed: name a folder on another disk, or have "
            "this one mounted with locks (Lustre: the option flock; NFS: a lock service)"
        ) from None
    return True
