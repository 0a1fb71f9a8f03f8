"""``python -m vapo.service.healthcheck PORT``: whether this container's part can serve.

Standard library only, so that asking every few seconds costs next to nothing.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Sequence

TIMEOUT_SECONDS = 8.0


def main(argv: Sequence[str] | None = None) -> int:
    """0 when the part is ready; 1, and its reason, when it is not."""
    arguments = sys.argv[1:] if argv is None else argv
    reason = unready_reason(int(arguments[0]))
    print(reason or "ready")
    return 1 if reason else 0


def unready_reason(port: int) -> str | None:
    """What ``/readyz`` on this machine's ``port`` has to say against being ready, or None."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
    except OSError as error:
        return f"port {port} does not answer: {error}"
    finally:
        connection.close()
    return None if answer.status == 200 else f"{answer.status}: {_detail(body)}"


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
