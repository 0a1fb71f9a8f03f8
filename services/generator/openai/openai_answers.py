"""Answers in OpenAI's form, whole or as a stream, with one field more: ``weight_version``.

Invariants: choices keep the order of prompts and, within one, of samples; a stream says of each
choice once why it ended, and ends with ``[DONE]``.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.generator.engine.samples import Completion, Piece, Sampling, newest_version
from services.generator.openai.log_probs import Decode, Tokens, chat_log_probs, completion_log_probs
from vapo.service.openai_errors import error_object

Kind = Literal["completion", "chat"]
OBJECTS = {
    "completion": ("cmpl", "text_completion", "text_completion"),
    "chat": ("chatcmpl", "chat.completion", "chat.completion.chunk"),
}


@dataclass(frozen=True)
class Form:
    """How the answer of one request is written."""

    kind: Kind
    model: str
    decode: Decode
    """Text of token ids, special tokens included."""
    ranked: int | None = None
    """Likeliest tokens at each position; None: no log-probs."""
    token_ids: bool = False


@dataclass(frozen=True)
class Choice:
    """One response that was asked for."""

    prompt: list[int]
    sampling: Sampling
    echoed: str | None = None
    """The prompt's text, if the answer begins with it."""
    echo_only: bool = False
    """Nothing but the prompt is answered."""


@dataclass
class _Told:
    """What a stream has said of one choice."""

    begun: bool = False
    characters: int = 0


def openai_answer(
    form: Form, prompt_tokens: int, choices: Sequence[Choice], completions: Sequence[Completion], texts: Sequence[str]
) -> dict[str, Any]:
    """Body of ``/v1/completions`` and ``/v1/chat/completions``."""
    written = [
        _choice(form, index, choice, _whole(choice, completion, text), completion)
        for index, (choice, completion, text) in enumerate(zip(choices, completions, texts, strict=True))
    ]
    made = sum(
        len(completion.token_ids)
        for choice, completion in zip(choices, completions, strict=True)
        if not choice.echo_only
    )
    body = _envelope(form, 1) | {
        "weight_version": newest_version(completions),
        "choices": written,
        "usage": _usage(prompt_tokens, made),
    }
    if form.token_ids and form.kind == "chat":
        body["prompt_token_ids"] = choices[0].prompt
    return body


async def openai_stream(
    form: Form,
    prompt_tokens: int,
    choices: Sequence[Choice],
    include_usage: bool,
    pieces: AsyncIterator[tuple[int, Piece]],
) -> AsyncIterator[str]:
    """Server-sent events: a chunk for each piece, the last of each choice with reason and version.

    Args:
        pieces: with the index of the choice each belongs to.
    """
    envelope, told, made = _envelope(form, 2), [_Told() for _ in choices], 0
    async for index, piece in pieces:
        choice = choices[index]
        chunk = envelope | {"choices": [_delta(form, index, choice, piece, told[index])]}
        if piece.completion:
            chunk["weight_version"] = newest_version([piece.completion])
            made += 0 if choice.echo_only else len(piece.completion.token_ids)
        yield _event(chunk)
    if include_usage:
        yield _event(envelope | {"choices": [], "usage": _usage(prompt_tokens, made)})
    yield "data: [DONE]\n\n"


def stream_error(status: int, detail: str) -> str:
    """An error inside a stream that has begun, in the form OpenAI's clients raise."""
    return _event({"error": {"status": status, **error_object(status, detail)}})


def _whole(choice: Choice, completion: Completion, text: str) -> Piece:
    """All of a response as one piece, its prompt's echo included."""
    return _said(
        choice,
        Piece(text, completion.token_ids, completion.positions, completion.prompt_positions, completion),
        first=True,
    )


def _said(choice: Choice, piece: Piece, first: bool) -> Piece:
    """What the client is told of a piece: without the response where only the prompt was asked
    for, with the prompt before the first piece where it is to be echoed.
    """
    told = piece
    if choice.echo_only:
        told = Piece("", [], (), piece.prompt_positions, piece.completion)
    if choice.echoed is None or not first:
        return told
    return Piece(
        choice.echoed + told.text,
        [*choice.prompt, *told.token_ids],
        [*told.prompt_positions, *told.positions],
        (),
        told.completion,
    )


def _choice(form: Form, index: int, choice: Choice, said: Piece, completion: Completion) -> dict[str, Any]:
    content = {"message": {"role": "assistant", "content": said.text}} if form.kind == "chat" else {"text": said.text}
    written: dict[str, Any] = {
        "index": index,
        "finish_reason": _reason(choice, completion),
        "logprobs": _log_probs(form, said, 0),
        **content,
    }
    if form.token_ids:
        written["token_ids"] = completion.token_ids
        if form.kind == "completion":
            written["prompt_token_ids"] = choice.prompt
    return written


def _delta(form: Form, index: int, choice: Choice, piece: Piece, told: _Told) -> dict[str, Any]:
    said = _said(choice, piece, first=not told.begun)
    role = {} if told.begun else {"role": "assistant"}
    content: dict[str, Any] = {"delta": role | {"content": said.text}} if form.kind == "chat" else {"text": said.text}
    written = {
        "index": index,
        "finish_reason": _reason(choice, piece.completion) if piece.completion else None,
        "logprobs": _log_probs(form, said, told.characters),
        **content,
    }
    if form.token_ids:
        written["token_ids"] = piece.token_ids
    told.begun = True
    told.characters += len(said.text)
    return written


def _reason(choice: Choice, completion: Completion) -> str:
    return "length" if choice.echo_only else completion.finish_reason


def _log_probs(form: Form, said: Piece, offset: int) -> dict[str, Any] | None:
    if form.ranked is None:
        return None
    tokens = Tokens(said.token_ids, said.positions)
    if form.kind == "chat":
        return chat_log_probs(tokens, form.ranked, form.decode)
    return completion_log_probs(tokens, form.ranked, form.decode, offset)


def _envelope(form: Form, version: int) -> dict[str, Any]:
    names = OBJECTS[form.kind]
    return {
        "id": f"{names[0]}-{uuid.uuid4().hex}",
        "object": names[version],
        "created": int(time.time()),
        "model": form.model,
    }


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
