"""A file that is still arriving: its bytes, and a record of which of them are there.

``NAME.partial`` holds the bytes, each at its place; ``NAME.arrived`` one line for each range that
has been written. Both are kept when a transfer is cut, also by SIGKILL, and say what to ask for
next. After a power cut the record may promise more than the disk holds; the checksum of the whole
file, checked before it gets its name, finds that out.

Invariants: ``NAME`` itself exists only with the right checksum; ranges are recorded after their
bytes are written; any number of threads may write ranges of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vapo.weights.manifest import FileEntry, matches
from vapo.weights.ranges import ByteRange, covered, merged, missing


class PartialFile:
    """One file on its way to ``final``.

    Args:
        entry: size and checksum it must have; what arrived of another file is not used.
        on_arrival: called after each range that was recorded.

    Raises:
        OSError: the folder cannot be written; the text names the file.
    """

    def __init__(self, final: Path, entry: FileEntry, on_arrival: Callable[[], None] = lambda: None) -> None:
        self.final, self.entry, self._on_arrival = final, entry, on_arrival
        self.path = final.with_name(f"{final.name}.partial")
        self._record = final.with_name(f"{final.name}.arrived")
        self._lock = threading.Lock()
        self._arrived: list[ByteRange] = []
        self._open()

    def _open(self) -> None:
        self._arrived = self._recorded()
        if not self._arrived:
            self._record.write_text(f"{self.entry.sha256}\n", encoding="ascii")
        with self.path.open("ab") as file:
            file.truncate(self.entry.bytes)

    def _recorded(self) -> list[ByteRange]:
        if not (self.path.is_file() and self._record.is_file()):
            return []
        first, *lines = self._record.read_text("ascii", errors="replace").split("\n")
        if first != self.entry.sha256:
            return []
        # What follows the last line end is empty, or a line that a crash cut short.
        return merged(filter(None, map(_parsed, lines[:-1])))

    def missing(self) -> list[ByteRange]:
        """Ranges still to be asked for, in order."""
        with self._lock:
            return missing(self.entry.bytes, self._arrived)

    def has(self, wanted: ByteRange) -> bool:
        """Whether all bytes of a range are there."""
        with self._lock:
            return covered(wanted, self._arrived)

    @contextmanager
    def writing(self, start: int) -> Iterator[Callable[[bytes], None]]:
        """A function that appends bytes from ``start`` on; on leaving they are recorded."""
        end = start
        with self.path.open("r+b", buffering=0) as file:
            file.seek(start)

            def write(data: bytes) -> None:
                nonlocal end
                view = memoryview(data)
                while view:
                    written = file.write(view)
                    view, end = view[written:], end + written

            try:
                yield write
            finally:
                self._add(ByteRange(start, end))

    def _add(self, one: ByteRange) -> None:
        if one.size <= 0:
            return
        with self._lock:
            with self._record.open("a", encoding="ascii") as record:
                record.write(f"{one.start} {one.end}\n")
            self._arrived = merged([*self._arrived, one])
        self._on_arrival()

    def complete(self) -> bool:
        """Check the whole file and give it its name; False, and all discarded, if it is wrong."""
        if not matches(self.path, self.entry):
            self.discard()
            return False
        self.path.rename(self.final)
        self._record.unlink(missing_ok=True)
        return True

    def discard(self) -> None:
        """Forget everything that arrived."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        with self._lock:
            self._open()


def _parsed(line: str) -> ByteRange | None:
    start, _, end = line.partition(" ")
    return ByteRange(int(start), int(end)) if start.isdigit() and end.isdigit() else None
