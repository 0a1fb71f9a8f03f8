"""Which bytes of a file are still to be asked for. Pure arithmetic on half-open ranges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class ByteRange(NamedTuple):
    """Bytes ``start`` to ``end - 1`` of a file."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start


def merged(ranges: Iterable[ByteRange]) -> list[ByteRange]:
    """The same bytes as few ranges, in order and apart from one another; empty ones vanish."""
    result: list[ByteRange] = []
    for one in sorted(one for one in ranges if one.size > 0):
        if result and one.start <= result[-1].end:
            result[-1] = ByteRange(result[-1].start, max(result[-1].end, one.end))
        else:
            result.append(one)
    return result


def missing(size: int, arrived: Iterable[ByteRange]) -> list[ByteRange]:
    """What a file of ``size`` bytes lacks when ``arrived`` is there, in order."""
    gaps, position = [], 0
    for one in merged(arrived):
        gaps.append(ByteRange(position, min(one.start, size)))
        position = one.end
    gaps.append(ByteRange(position, size))
    return [gap for gap in gaps if gap.size > 0]


def split(ranges: Iterable[ByteRange], most: int) -> list[ByteRange]:
    """The same bytes, in the same order, in ranges of at most ``most`` bytes."""
    return [ByteRange(start, min(start + most, one.end)) for one in ranges for start in range(one.start, one.end, most)]


def within(ranges: Iterable[ByteRange], bounds: ByteRange) -> list[ByteRange]:
    """The part of each range that lies in ``bounds``."""
    cut = [ByteRange(max(one.start, bounds.start), min(one.end, bounds.end)) for one in ranges]
    return [one for one in cut if one.size > 0]


def covered(wanted: ByteRange, arrived: Iterable[ByteRange]) -> bool:
    """Whether all of ``wanted`` is in ``arrived``."""
    return wanted.size <= 0 or any(one.start <= wanted.start and wanted.end <= one.end for one in merged(arrived))
