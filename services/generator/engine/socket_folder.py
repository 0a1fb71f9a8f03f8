"""Where vLLM puts the sockets between its processes: a folder whose path is short enough.

Invariant: the path of a UNIX socket has at most 107 bytes, whatever ``TMPDIR`` is; a folder made
here is private to this user and gone when the generator ends.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from vapo.startup import StartupError

LONGEST_PATH = 107
NAME_BYTES = len("/") + 36
"""vLLM names a socket by a UUID."""
VARIABLE = "VLLM_RPC_BASE_PATH"
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a private folder is made there


@contextmanager
def socket_folder() -> Iterator[None]:
    """Within the context vLLM's sockets have a place. Enter before vLLM is imported.

    Raises:
        StartupError: no folder with a short path can be written.
    """
    named = os.environ.get(VARIABLE)
    if fits(named or tempfile.gettempdir()):
        yield
        return
    if named:
        raise StartupError(
            f"{VARIABLE}={named} is too long for the paths of sockets "
            f"({LONGEST_PATH} bytes, {NAME_BYTES} of them a name); shorten it"
        )
    folder = _make()
    os.environ[VARIABLE] = folder
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)


def fits(folder: str) -> bool:
    """Whether a socket of vLLM's in ``folder`` has a path that is short enough."""
    return len(os.fsencode(folder)) + NAME_BYTES <= LONGEST_PATH


def _make() -> str:
    for place in SHORT_FOLDERS:
        try:
            return tempfile.mkdtemp(prefix="vapo-", dir=place)
        except OSError:
            continue
    raise StartupError(
        f"TMPDIR={tempfile.gettempdir()} is too long for the paths of sockets ({LONGEST_PATH} "
        f"bytes), and none of {', '.join(SHORT_FOLDERS)} can be written; set TMPDIR to a shorter "
        "folder"
    )
