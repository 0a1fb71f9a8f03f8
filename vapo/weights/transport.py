"""The one small interface behind which weight versions travel."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from vapo.weights.manifest import Manifest


class Transport(Protocol):
    """How a consumer gets a version's files onto its own disk."""

    def fetch(self, version: int, only: str | None = None) -> tuple[Path, Manifest]:
        """Local folder and manifest of ``version``, checksums verified.

        Args:
            only: the one file the consumer needs; the others are neither fetched nor checked, and
                may be absent. A name the version does not hold fetches nothing. None: all files.

        Raises:
            SupersededError: the version is no longer kept; take the newest.
            WeightsError: it cannot be had, or is damaged.
        """
        ...

    def close(self) -> None:
        """Give up a fetch in progress (it raises WeightsError) and refuse later ones."""
        ...
