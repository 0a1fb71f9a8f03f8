"""A TCP proxy that counts, cuts connections after a number of bytes, or changes one byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
PIECE = 16 << 10


class CuttingProxy:
    """Forwards loopback connections to ``port``; what comes back is counted in ``passed``.

    Args:
        cuts: after each of these totals of bytes back, all open connections are reset.
        flip_at: the byte at this total is changed on its way back.
    """

    def __init__(self, port: int, cuts: tuple[int, ...] = (), flip_at: int | None = None) -> None:
        self._port, self._cuts, self._flip_at = port, list(cuts), flip_at
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.passed, self.cut = 0, 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Stop; open connections are reset."""
        # shutdown wakes the thread that waits in accept, which close alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._reset_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._port), timeout=10)
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._open |= {near, far}
                for source, sink, back in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pump, args=(source, sink, back), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                sink.sendall(self._seen(data) if back else data)
            sink.shutdown(socket.SHUT_WR)

    def _seen(self, data: bytes) -> bytes:
        with self._lock:
            before, self.passed = self.passed, self.passed + len(data)
            if self._flip_at is not None and before <= self._flip_at < self.passed:
                changed = bytearray(data)
                changed[self._flip_at - before] ^= 0xFF
                data = bytes(changed)
            if self._cuts and self.passed >= self._cuts[0]:
                self._cuts.pop(0)
                self.cut += 1
                self._reset_all()
        return data

    def _reset_all(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()
