"""A part that only says it is ready: ``stand_in_part.py PART ... --set PART.port=PORT``.

What else it does stands in ``STAND_IN_PART`` (``STAND_IN_TRAINER=...``): Python that runs before it
serves, or after when it begins with ``ready:``.
"""

from __future__ import annotations

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Ready(BaseHTTPRequestHandler):
    """Answers every GET with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def main() -> None:
    part = sys.argv[1]
    port = next(word for word in reversed(sys.argv) if word.startswith(f"{part}.port="))
    action = os.environ.get(f"STAND_IN_{part.upper()}", "")
    if not action.startswith("ready:"):
        exec(action)  # noqa: S102 - the test's own words
    server = HTTPServer(("127.0.0.1", int(port.partition("=")[2])), Ready)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if action.startswith("ready:"):
        exec(action.removeprefix("ready:"))  # noqa: S102
    threading.Event().wait()


if __name__ == "__main__":
    main()
