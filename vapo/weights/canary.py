"""Proof that an engine computes with the weights it claims: log-probs of fixed tokens.

Checksums of loaded weights prove little, since engines pack and drop their copies; what a model
says about fixed tokens depends on all its weights. The trainer may put its own values into a
publication's manifest, and a generator compares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

CANARY_TOKENS = 32
_MULTIPLIER, _INCREMENT, _MODULUS = 6364136223846793005, 1442695040888963407, 2**64
"""Knuth's MMIX linear congruential generator: the same tokens in every part and release."""


def canary_token_ids(vocabulary_size: int) -> list[int]:
    """The fixed tokens: ``CANARY_TOKENS`` ids, spread over the vocabulary."""
    state, token_ids = 1, []
    for _ in range(CANARY_TOKENS):
        state = (_MULTIPLIER * state + _INCREMENT) % _MODULUS
        token_ids.append((state >> 33) % vocabulary_size)
    return token_ids


def canary_record(token_ids: Sequence[int], log_probs: Sequence[float]) -> dict[str, Any]:
    """What a manifest carries.

    Args:
        token_ids: [n] fixed tokens.
        log_probs: [n - 1] log-prob of each token but the first, given those before it, at
            temperature 1.
    """
    return {"token_ids": list(token_ids), "log_probs": [float(value) for value in log_probs]}


def canary_difference(expected: Sequence[float], seen: Sequence[float]) -> float:
    """Mean absolute difference, nats per token; infinite for unequal lengths or a NaN."""
    if len(expected) != len(seen) or not expected:
        return math.inf
    mean = sum(abs(a - b) for a, b in zip(expected, seen, strict=True)) / len(expected)
    return mean if math.isfinite(mean) else math.inf
