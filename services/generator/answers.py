"""What the generator's HTTP endpoints answer: our own form, and OpenAI's with one field more.

Invariant: every answer says under which weight version it was sampled (``weight_version``: the
newest of its tokens').
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

from services.generator.engine import Completion

Kind = Literal["completion", "chat"]
OBJECTS = {"completion": ("cmpl", "text_completion", "text_completion"),
           "chat": ("chatcmpl", "chat.completion", "chat.completion.chunk")}


def newest_version(completions: Sequence[Completion]) -> int:
    """Newest weight version any token was sampled under."""
    return max(span.version for completion in completions for span in completion.version_spans)


def generate_answer(model: str, completions: Sequence[Completion],
                    texts: Sequence[str]) -> dict[str, Any]:
    """Body of ``/v1/generate``."""
    responses = [{"token_ids": completion.token_ids, "log_probs": completion.log_probs,
                  "version_spans": [asdict(span) for span in completion.version_spans],
                  "finish_reason": completion.finish_reason, "text": text,
                  "cached_prompt_tokens": completion.cached_prompt_tokens}
                 for completion, text in zip(completions, texts, strict=True)]
    return {"model": model, "weight_version": newest_version(completions), "responses": responses}


def openai_answer(kind: Kind, model: str, prompt_tokens: int, completions: Sequence[Completion],
                  texts: Sequence[str]) -> dict[str, Any]:
    """Body of ``/v1/completions`` and ``/v1/chat/completions``."""
    choices = [_choice(kind, index, text, completion.finish_reason)
               for index, (completion, text) in enumerate(zip(completions, texts, strict=True))]
    made = sum(len(completion.token_ids) for completion in completions)
    return _envelope(kind, model, 1) | {
        "weight_version": newest_version(completions), "choices": choices,
        "usage": _usage(prompt_tokens, made)}


async def openai_stream(kind: Kind, model: str, prompt_tokens: int, include_usage: bool,
                        pieces: AsyncIterator[tuple[str, Completion | None]]) -> AsyncIterator[str]:
    """Server-sent events: a chunk for each piece of text, the last with reason and version."""
    envelope = _envelope(kind, model, 2)
    first = True
    async for text, completion in pieces:
        reason = completion.finish_reason if completion else None
        chunk = envelope | {"choices": [_delta(kind, text, reason, first)]}
        first = False
        if completion:
            chunk["weight_version"] = newest_version([completion])
        yield _event(chunk)
        if completion and include_usage:
            yield _event(envelope | {"choices": [],
                                     "usage": _usage(prompt_tokens, len(completion.token_ids))})
    yield "data: [DONE]\n\n"


def stream_error(status: int, detail: str) -> str:
    """A problem document inside a stream that has begun, and the stream's end."""
    return _event({"error": {"type": "about:blank", "status": status, "detail": detail}})


def _envelope(kind: Kind, model: str, form: int) -> dict[str, Any]:
    names = OBJECTS[kind]
    return {"id": f"{names[0]}-{uuid.uuid4().hex}", "object": names[form],
            "created": int(time.time()), "model": model}


def _choice(kind: Kind, index: int, text: str, reason: str) -> dict[str, Any]:
    said = {"message": {"role": "assistant", "content": text}} if kind == "chat" else {"text": text}
    return {"index": index, "finish_reason": reason, "logprobs": None, **said}


def _delta(kind: Kind, text: str, reason: str | None, first: bool) -> dict[str, Any]:
    if kind == "completion":
        said: dict[str, Any] = {"text": text}
    else:
        said = {"delta": ({"role": "assistant"} if first else {}) | {"content": text}}
    return {"index": 0, "finish_reason": reason, "logprobs": None, **said}


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens}


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
