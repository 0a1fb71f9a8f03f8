"""The text of one chat message, however a client writes it.

Invariant: what is no text (an image, a file, a call of a tool) is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TEXT_PARTS = ("text", "input_text", "output_text")


def message_text(content: Any) -> str:
    """Text of a message's ``content``: a string, or a list of text parts, joined as they stand.

    Raises:
        ValueError: it holds anything but text.
    """
    if isinstance(content, str):
        return content
    if content is None:
        raise ValueError("is null; every message has a text, which may be empty")
    if not isinstance(content, list):
        raise ValueError("must be a text or a list of text parts")
    return "".join(map(_part_text, content))


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    text = part.get("text") if isinstance(part, Mapping) else None
    if kind not in TEXT_PARTS or not isinstance(text, str):
        raise ValueError(
            f'holds a part of type {kind!r}; the policy reads text parts only, {{"type": "text", "text": ...}}'
        )
    return text
