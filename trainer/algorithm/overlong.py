"""Soft overlong punishment, DAPO Eq 13 (arXiv 2503.14476)."""

from __future__ import annotations

import torch
from torch import Tensor


def soft_overlong_punishment(lengths: Tensor, max_tokens: int, buffer_tokens: int) -> Tensor:
    """R_length, added to the correctness reward; "correct" is not touched by it.

    0 up to ``max_tokens - buffer_tokens``, falling in a straight line to -1 at ``max_tokens``, -1
    beyond.

    Args:
        lengths: int64[B], response tokens.
        max_tokens: L_max (DAPO: 20480).
        buffer_tokens: L_cache (DAPO: 4096), 1 to ``max_tokens``.

    Returns:
        float64[B] in [-1, 0].

    Raises:
        ValueError: the buffer is empty or longer than the limit.
    """
    if not 1 <= buffer_tokens <= max_tokens:
        raise ValueError(f"buffer_tokens={buffer_tokens} must be 1 to max_tokens={max_tokens}")
    excess = (max_tokens - buffer_tokens) - lengths.to(torch.float64)
    return (excess / buffer_tokens).clamp(-1.0, 0.0)
