"""Log-probs in OpenAI's two forms: of completions, and of chat completions.

Invariant: every number is finite, as JSON demands: what the sampler excluded has ``LOWEST``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.generator.engine.samples import Ranked

LOWEST = -9999.0
"""vLLM's own server writes this for minus infinity."""
Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Tokens:
    """Tokens of a prompt or a response, with what is known of each position."""

    token_ids: Sequence[int]
    positions: Sequence[Ranked]


def chat_log_probs(tokens: Tokens, ranked: int, decode: Decode) -> dict[str, Any]:
    """``choice.logprobs`` of a chat completion, with the ``ranked`` likeliest at each position."""

    def told(token_id: int, log_prob: float) -> dict[str, Any]:
        text = decode([token_id])
        return {"token": text, "logprob": max(log_prob, LOWEST), "bytes": list(text.encode())}

    content = [
        {**told(token_id, position[token_id]), "top_logprobs": [told(*one) for one in _likeliest(position, ranked)]}
        for token_id, position in zip(tokens.token_ids, tokens.positions, strict=True)
    ]
    return {"content": content, "refusal": None}


def completion_log_probs(tokens: Tokens, ranked: int, decode: Decode, offset: int = 0) -> dict[str, Any]:
    """``choice.logprobs`` of a completion: the likeliest and the token itself at each position.

    Args:
        offset: characters of the answer before the first of ``tokens``.
    """
    texts = [decode([token_id]) for token_id in tokens.token_ids]
    offsets = [offset]
    for text in texts:
        offsets.append(offsets[-1] + len(text))
    known = list(zip(tokens.token_ids, tokens.positions, strict=True))
    return {
        "tokens": texts,
        "text_offset": offsets[:-1],
        "token_logprobs": [max(position[token_id], LOWEST) if position else None for token_id, position in known],
        "top_logprobs": [
            _named(token_id, position, ranked, decode) if position else None for token_id, position in known
        ],
    }


def _named(token_id: int, position: Ranked, ranked: int, decode: Decode) -> dict[str, float]:
    told = [(token_id, position[token_id]), *_likeliest(position, ranked)]
    named: dict[str, float] = {}
    for one, log_prob in told:  # several tokens may look alike; the likelier one stands
        text = decode([one])
        named[text] = max(log_prob, named.get(text, LOWEST))
    return named


def _likeliest(position: Ranked, ranked: int) -> list[tuple[int, float]]:
    return sorted(position.items(), key=lambda item: -item[1])[:ranked]
