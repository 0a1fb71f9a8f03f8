"""Global denominators of one optimiser step.

Every loss is a sum over its own tokens divided by a number that belongs to the *whole* optimiser
step: all micro-batches of all ranks. Eq 7 and Eq 9 average over the batch's tokens, so an average
of micro-batch averages would be a different algorithm.

Invariants: counted from masks that are known before the first forward pass, so correction weights
are not in them; every rank counts all rows of the step, so no rank has to ask another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from torch import Tensor


@dataclass(frozen=True)
class Denominators:
    """Counts over one optimiser step; floats, whole numbers."""

    policy_tokens: float
    """Tokens in the policy loss, the normaliser of Eq 7."""
    policy_rows: float
    """Rows with any such token, G of Eq 6."""
    positive_tokens: float
    """Tokens of correct rows, the normaliser of Eq 9."""
    value_tokens: float
    """Tokens in the value loss."""

    def __post_init__(self) -> None:
        for name, count in asdict(self).items():
            if not (math.isfinite(count) and count >= 0):
                raise ValueError(f"denominator {name}={count} must be a finite count, 0 or more")


def add_denominators(parts: Iterable[Denominators]) -> Denominators:
    """Sum over optimiser steps: the denominators of a mean over all of them."""
    parts = list(parts)
    return Denominators(
        **{field.name: sum(getattr(part, field.name) for part in parts) for field in fields(Denominators)}
    )


def masked_mean(values: Tensor, weights: Tensor, denominator: float) -> Tensor:
    """sum(values * weights) / denominator, a scalar; 0 over an empty set (denominator 0).

    Args:
        values: float[n], may carry gradient.
        weights: float or bool[n]; taken as constant.
        denominator: of the whole optimiser step.
    """
    total = (values * weights.detach().to(values.dtype)).sum()
    return total / denominator if denominator > 0 else total * 0.0
