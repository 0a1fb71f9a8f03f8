"""A listener that stands where a proxy would, and records what it is sent."""

from __future__ import annotations

import socket
import threading

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class RecordingProxy:
    """Takes connections, keeps the first bytes of each in ``seen`` and closes them unanswered."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def variables(self, scheme: str) -> dict[str, str]:
        """The environment that leads to it, in both spellings."""
        address = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        return {spelt: address for name in VARIABLES for spelt in (name, name.lower())}

    def close(self) -> None:
        """Stop listening."""
        # shutdown wakes the thread that waits in accept, which close alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self.seen.append(connection.recv(65536))
