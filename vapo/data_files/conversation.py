"""Messages as files and clients write them: text in parts, and keys without a value.

Invariant: nothing that would change a prompt is left out: only what is null or an empty list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain_message(message: Any) -> Any:
    """A message with its content as one text and without keys that hold nothing; anything else as
    it is.

    Raises:
        ValueError: its content holds a part that is no text.
    """
    if not isinstance(message, Mapping):
        return message
    kept = {key: value for key, value in message.items() if value is not None and value != []}
    if isinstance(kept.get("content"), list):
        kept["content"] = "".join(_part_text(part) for part in kept["content"])
    return kept


def ends_with_an_answer(messages: Any) -> bool:
    """Whether the last message is the assistant's: then it is no prompt, but a finished talk."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, Mapping) and last.get("role") == "assistant"


def appended(messages: Any, text: str) -> list[Any]:
    """``messages`` with ``text`` after the last user message.

    Raises:
        ValueError: there is no user message with a text.
    """
    plain = [plain_message(message) for message in messages]
    for place in reversed(range(len(plain))):
        message = plain[place]
        if isinstance(message, Mapping) and message.get("role") == "user":
            if isinstance(message.get("content"), str):
                plain[place] = {**message, "content": message["content"] + text}
                return plain
            break
    raise ValueError("there is no user message to append to")


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type", "text") == "text":
        text = part.get("text")
        if isinstance(text, str):
            return text
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    raise ValueError(f"content holds a part of type {kind!r}; only text parts can be trained on")
