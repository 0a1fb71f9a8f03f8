"""The positive-example language-model loss (self-imitation), Eq 9-10.

Invariants: "correct" is the verdict's word, never read off the reward's sign or size; the mean is
over the *tokens* of all correct rows of the optimiser step, and 0 where there are none.
"""

from __future__ import annotations

from torch import Tensor

from trainer.algorithm.denominators import masked_mean


def positive_example_loss(log_probs: Tensor, weights: Tensor, positive_tokens: float) -> Tensor:
    """L_NLL of Eq 9, this micro-batch's share; Eq 10 adds it to the policy loss times mu.

    Args:
        log_probs: float[n], current policy, carries the gradient; no ratio and no clip.
        weights: float or bool[n], 1 on tokens of correct rows, times the correction weight where
            that option is on.
        positive_tokens: tokens of correct rows over the whole optimiser step.
    """
    return -masked_mean(log_probs, weights, positive_tokens)
