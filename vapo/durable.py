"""Folders that appear complete or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def durable_folder(final: Path) -> Iterator[Path]:
    """A folder to fill, which gets its ``final`` name when all its files are on disk.

    Temporary name, fsync of every file, rename, fsync of the parent. What an interrupted writer
    left is removed by the next one; an older folder of that name is replaced. When the body raises,
    nothing appears.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    yield partial
    for file in partial.iterdir():
        sync(file)
    sync(partial)
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    sync(final.parent)


def sync(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
