"""One file fetched by ranges, several at a time, resumed after cuts, and checked before use.

Invariants:
- only ranges that are not on disk yet are asked for, within a process and over restarts;
- a file has its name only when its checksum is right; wrong bytes are discarded and fetched once
  more, then refused;
- a cut or an unreachable host is tried again; silence (`vapo.weights.silence`) and the deadline end
  the fetch by name;
- processes that share the folder take turns, and the later ones find the file there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path

from vapo.settings import WeightsSettings
from vapo.weights.errors import SourceUnavailableError, SupersededError, WeightsError
from vapo.weights.host_lock import host_lock
from vapo.weights.manifest import FileEntry, matches
from vapo.weights.partial_file import PartialFile
from vapo.weights.ranges import ByteRange, split, within
from vapo.weights.rate_limit import TokenBucket
from vapo.weights.silence import FIRST_PAUSE_SECONDS, Silence
from vapo.weights.source import WeightSource

logger = logging.getLogger(__name__)

FETCHES = 2
"""The first, and one more when its bytes were wrong."""


class DamagedError(WeightsError):
    """The source keeps sending bytes that do not match the manifest."""


class FileDownload:
    """One file of one version on its way to ``final``, by a thread of its own."""

    def __init__(
        self,
        source: WeightSource,
        version: int,
        entry: FileEntry,
        final: Path,
        settings: WeightsSettings,
        limiter: TokenBucket,
    ) -> None:
        self._source, self.version, self.entry, self._final = source, version, entry, final
        self._settings, self._limiter = settings, limiter
        self._changed = threading.Condition()
        self._halted = threading.Event()
        self._partial: PartialFile | None = None
        self._todo: deque[ByteRange] = deque()
        self._silence = Silence(settings.stall_seconds, self._halted)
        self.bytes_fetched = 0
        self.error: Exception | None = None
        self.over_at: float | None = None
        """Monotonic time at which it succeeded or failed; None while it runs."""

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name=f"fetch {self._final.name}", daemon=True).start()

    def halt(self) -> None:
        """Give up; what has arrived stays."""
        self._fail(WeightsError("the fetch was given up: this part is stopping"))

    @property
    def path(self) -> Path:
        """Where the bytes are now."""
        partial = self._partial
        return self._final if partial is None or self.over_at else partial.path

    def result(self) -> Path:
        """Wait for the whole file. Raises what ended the fetch."""
        with self._changed:
            # The thread keeps the deadlines, of the lock and of each fetch; it always ends.
            self._changed.wait_for(lambda: self.over_at is not None)
        if self.error is not None:
            raise self.error
        return self._final

    def wait_for(self, wanted: ByteRange, seconds: float) -> bool:
        """Wait for a range; whether it came in time. Raises what ended the fetch."""
        with self._changed:
            in_time = self._changed.wait_for(lambda: self._over_or_has(wanted), seconds)
        if self.over_at is not None and self.error is not None:
            raise self.error
        return in_time

    def _over_or_has(self, wanted: ByteRange) -> bool:
        return self.over_at is not None or (self._partial is not None and self._partial.has(wanted))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        lock = self._final.parent.parent / ".locks" / f"{self._final.name}.lock"
        try:
            with host_lock(lock, self._settings.deadline_seconds, self._halted):
                self._fetch_checked()
        except FileNotFoundError:
            self.error = SupersededError(
                f"{self._final.parent} was removed to make room for newer versions "
                "(weights.cache_versions); the newest is taken instead"
            )
        except OSError as error:
            self.error = WeightsError(
                f"cannot write {self._final} (weights.cache_directory): {error.strerror or error}"
            )
        except WeightsError as error:
            self.error = error
        except Exception as error:  # told to whoever waits for the result
            logger.exception("fetching %s failed", self._final)
            self.error = WeightsError(f"fetching {self._final} failed: {error!r}")
        finally:
            self.over_at = time.monotonic()
            self._wake()

    def _fetch_checked(self) -> None:
        for _ in range(FETCHES):
            if self._final.exists() and matches(self._final, self.entry):
                return
            self._partial = PartialFile(self._final, self.entry, self._wake)
            self._transfer()
            if self._partial.complete():
                return
        raise DamagedError(
            f"{self._final.name} of version {self.version} was fetched {FETCHES} times and does "
            f"not match its manifest (sha256 {self.entry.sha256[:12]}); the source's copy is "
            "damaged, or something on the way changes it"
        )

    def _transfer(self) -> None:
        assert self._partial is not None  # noqa: S101 - set by the only caller
        self._todo = deque(split(self._partial.missing(), self._settings.range_bytes))
        self._silence.broken()
        count = min(self._settings.parallel_ranges, len(self._todo))
        threads = [threading.Thread(target=self._work, args=(self._partial,), daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self._settings.deadline_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            self._fail(WeightsError(self._late(self._partial)))
            for thread in threads:
                thread.join(2 * self._settings.stall_seconds)  # of one silent read, and its connect
        if self.error is not None:
            raise self.error

    def _late(self, partial: PartialFile) -> str:
        lacking = sum(one.size for one in partial.missing())
        return (
            f"{self._final.name} of version {self.version} was not fetched within "
            f"weights.deadline_seconds={self._settings.deadline_seconds:g}; {lacking} of "
            f"{self.entry.bytes} bytes are lacking, the others are kept for the next try"
        )

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self.error = self.error or error
        self._halted.set()

    def _work(self, partial: PartialFile) -> None:
        """Fetch ranges until none is left, the fetch failed or was given up."""
        pause = FIRST_PAUSE_SECONDS
        while not self._halted.is_set() and (wanted := self._next()):
            try:
                pause = self._try(partial, wanted, pause)
            except Exception as error:  # told to whoever waits for the result
                self._fail(error)

    def _try(self, partial: PartialFile, wanted: ByteRange, pause: float) -> float:
        """Read a range, or wait `pause` seconds after a cut; returns the pause after the next cut."""
        try:
            self._read(partial, wanted)
        except SourceUnavailableError as error:
            self._todo.extendleft(reversed(within(partial.missing(), wanted)))
            return self._silence.bear(error, pause)
        return FIRST_PAUSE_SECONDS

    def _next(self) -> ByteRange | None:
        try:
            return self._todo.popleft()
        except IndexError:
            return None

    def _read(self, partial: PartialFile, wanted: ByteRange) -> None:
        left = wanted.size
        with (
            partial.writing(wanted.start) as write,
            self._source.read(self.version, self._final.name, self.entry, wanted) as chunks,
        ):
            for chunk in chunks:
                write(chunk[:left])
                left -= len(chunk)
                self._heard(len(chunk))
                if self._halted.wait(self._limiter.reserve(len(chunk))):
                    return

    def _heard(self, count: int) -> None:
        with self._changed:
            self.bytes_fetched += count
            self._silence.broken()
