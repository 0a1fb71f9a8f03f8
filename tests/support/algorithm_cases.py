"""Small builders that the algorithm tests share."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.algorithm.objective import ScoredRows


def scored_rows(
    values: Sequence[Sequence[float]],
    rewards: Sequence[float],
    correct: Sequence[bool] | None = None,
    truncated: Sequence[bool] | None = None,
    bootstrap: Sequence[float] | None = None,
    groups: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float64,
) -> ScoredRows:
    """A batch from rows of values; by default all rows ended and none is correct."""
    count = len(values)
    return ScoredRows(
        lengths=torch.tensor([len(row) for row in values]),
        rewards=torch.tensor(list(rewards), dtype=dtype),
        correct=torch.tensor(list(correct or [False] * count)),
        truncated=torch.tensor(list(truncated or [False] * count)),
        values=torch.tensor([value for row in values for value in row], dtype=dtype),
        bootstrap_values=None if bootstrap is None else torch.tensor(list(bootstrap), dtype=dtype),
        group_ids=None if groups is None else torch.tensor(list(groups)),
    )


def random_batch(seed: int, lengths: Sequence[int], dtype: torch.dtype = torch.float64) -> ScoredRows:
    """A batch of mixed fates: correct and wrong, ended and cut, with values within [-1, 1]."""
    dice = random.Random(seed)
    return scored_rows(
        values=[[dice.uniform(-1, 1) for _ in range(length)] for length in lengths],
        rewards=[dice.choice([-1.0, 1.0]) for _ in lengths],
        correct=[dice.random() < 0.5 for _ in lengths],
        truncated=[dice.random() < 0.3 for _ in lengths],
        bootstrap=[dice.uniform(-1, 1) for _ in lengths],
        groups=[dice.randrange(1 + len(lengths) // 2) for _ in lengths],
        dtype=dtype,
    )


def random_log_probs(seed: int, tokens: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Current, behaviour and proximal log-probs near one another, as under mild staleness."""
    generator = torch.Generator().manual_seed(seed)
    current = -2.0 * torch.rand(tokens, generator=generator, dtype=dtype) - 0.01
    shifts = 0.4 * torch.randn(2, tokens, generator=generator, dtype=dtype)
    return [current, current + shifts[0], current + shifts[1]]


def rows_of(flat: Tensor, lengths: Tensor) -> list[list[float]]:
    """Split a flat tensor into lists, one per row."""
    return [part.tolist() for part in torch.split(flat, lengths.tolist())]
