"""Messages between the service and its worker processes: length-prefixed JSON on pipes.

Invariant: a message is data and nothing else (never pickle); its length is known before it is read.
"""

from __future__ import annotations

import json
import struct
from typing import Any

LENGTH = struct.Struct("<I")
MEMORY_STATUS = 77
"""Exit status of a worker that reached its memory limit."""
MAXIMUM_BYTES = 16 * 2**20
"""Longest message; responses are cut to far less before they are sent."""


class PipeMessageError(ValueError):
    """A message is too long or not a JSON object."""


def encode(message: dict[str, Any]) -> bytes:
    """Wire form: four bytes of length, then ASCII JSON (lone surrogates survive as escapes).

    Raises:
        PipeMessageError: the message is longer than ``MAXIMUM_BYTES``.
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > MAXIMUM_BYTES:
        raise PipeMessageError(f"a message of {len(body)} bytes; at most {MAXIMUM_BYTES}")
    return LENGTH.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Length announced by the first ``LENGTH.size`` bytes. Raises PipeMessageError when beyond the
    limit.
    """
    length: int = LENGTH.unpack(header)[0]
    if length > MAXIMUM_BYTES:
        raise PipeMessageError(f"a message of {length} bytes is announced; at most {MAXIMUM_BYTES}")
    return length


def decode(body: bytes) -> dict[str, Any]:
    """The message in ``body``. Raises PipeMessageError when it is not a JSON object."""
    try:
        message = json.loads(body)
    except ValueError as error:
        raise PipeMessageError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise PipeMessageError(f"a JSON object was expected, not {type(message).__name__}")
    return message
