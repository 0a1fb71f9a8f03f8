"""One trainer per run directory.

The trainer is the only consumer of the last queue, under a fixed name; two of them would train on
one another's leases. The lock is the kernel's, so a killed trainer's is free at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vapo.file_lock import try_lock
from vapo.startup import UnavailableError


class RunLocked(UnavailableError):
    """Another trainer works in this run directory."""


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Hold ``trainer.lock`` in ``directory``. Raises RunLocked when another process does,
    and NoLocksError where files cannot be locked."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "trainer.lock").open("w", encoding="utf-8") as file:
        if not try_lock(file.fileno(), directory / "trainer.lock"):
            raise RunLocked(
                f"another trainer runs in {directory}; stop it, or give this run another run.directory and run.name"
            )
        yield
