"""The value loss: half the squared error, token mean, unclipped (VC-PPO Algorithm 1, line 12).

VAPO does not state its form. No value clipping: a clip range of 0.2 about values that may be
several versions old, with targets 2 apart, would freeze the critic.
"""

from __future__ import annotations

from torch import Tensor

from trainer.algorithm.denominators import masked_mean


def value_loss(values: Tensor, targets: Tensor, mask: Tensor, value_tokens: float) -> Tensor:
    """Mean of (V - target)^2 / 2 over the optimiser step's value tokens, this micro-batch's share.

    Args:
        values: float[n], current critic, carries the gradient.
        targets: float[n]; taken as constant.
        mask: bool[n], tokens the critic trains on.
        value_tokens: tokens in the mask over the whole optimiser step.
    """
    error = values - targets.detach().to(values.dtype)
    return masked_mean(0.5 * error.square(), mask, value_tokens)
