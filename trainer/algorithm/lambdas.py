"""The lambda of generalised advantage estimation: constant, or adapted to the length, Eq 4-5.

Invariants: one lambda per row, in [0, 1), from the row's own count of response tokens (the
end-of-sequence token included) and never from a padded or packed width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def length_adaptive_lambda(lengths: Tensor, alpha: float) -> Tensor:
    """lambda_policy = 1 - 1 / (alpha * l), Eq 5, so that sum_t lambda^t ~ alpha * l, Eq 4.

    At alpha * l <= 1 (l <= 20 at alpha = 0.05) the formula leaves [0, 1); lambda is then 0, a
    one-step temporal difference. The paper does not say; this is its limit from above.

    Args:
        lengths: int64[B], response tokens of each row.
        alpha: the paper's 0.05; responses much shorter than the paper's need a larger one.

    Returns:
        float64[B].
    """
    horizon = (alpha * lengths.to(torch.float64)).clamp(min=1.0)
    return 1.0 - 1.0 / horizon


def constant_lambda(lengths: Tensor, value: float) -> Tensor:
    """The same lambda for every row, float64[B]."""
    return torch.full_like(lengths, value, dtype=torch.float64)
