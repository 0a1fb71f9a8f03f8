"""Advantage whitening: in no equation of the paper, off by default, offered for comparison.

With a length-adaptive lambda the size of an advantage depends on position and length, and the
subtracted mean turns the sign of small ones.
"""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-8


def whiten(advantages: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale to mean 0 and deviation 1 over the masked tokens of the batch given.

    Args:
        advantages: float[N] of the whole batch; a part of it would be whitened differently.
        mask: bool[N], tokens of the policy loss; the others do not count and are 0 afterwards.

    Returns:
        float[N].
    """
    count = mask.sum().clamp(min=1)
    weights = mask.to(advantages.dtype)
    centred = (advantages - (advantages * weights).sum() / count) * weights
    return centred / (centred.square().sum() / count + EPSILON).sqrt()
