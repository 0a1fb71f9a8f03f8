"""Group-relative advantages for the critic-free baselines GRPO and DAPO (DAPO Eq 9).

VAPO samples in groups too (section 5.1: 512 prompts x 16), but its advantages do not use them.

Invariant: one advantage per row, the same for each of its tokens; a row that is alone in its group
has nothing to be compared with and gets 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-6
"""Added to the standard deviation; a group of equal rewards then has advantage 0."""


@dataclass(frozen=True)
class _GroupSums:
    member: Tensor
    count: Tensor
    mean: Tensor
    squares: Tensor


def group_advantages(rewards: Tensor, group_ids: Tensor, divide_by_deviation: bool = True) -> Tensor:
    """A_i = (R_i - mean of its group) / standard deviation of its group.

    The deviation has Bessel's correction, as in the public implementations; the papers do not say.

    Args:
        rewards: float[B].
        group_ids: int64[B], equal for the responses to one prompt; any integers.
        divide_by_deviation: off gives the plain difference from the mean (Dr. GRPO).

    Returns:
        float64[B].
    """
    sums = _group_sums(rewards, group_ids)
    difference = rewards.to(torch.float64) - sums.mean[sums.member]
    if not divide_by_deviation:
        return difference
    deviation = (sums.squares / (sums.count - 1).clamp(min=1)).sqrt()
    return difference / (deviation[sums.member] + EPSILON)


def uniform_groups(correct: Tensor, group_ids: Tensor) -> Tensor:
    """Rows (bool[B]) of groups that are all correct or all wrong: no signal (DAPO Eq 11).

    Args:
        correct: bool[B], from the verdict; a length penalty does not make a group informative.
        group_ids: int64[B].
    """
    sums = _group_sums(correct, group_ids)
    return ((sums.mean == 0) | (sums.mean == 1))[sums.member]


def _group_sums(per_row: Tensor, group_ids: Tensor) -> _GroupSums:
    _, member, count = torch.unique(group_ids, return_inverse=True, return_counts=True)
    values = per_row.to(torch.float64)
    start = torch.zeros(count.numel(), dtype=torch.float64, device=per_row.device)
    mean = start.index_add(0, member, values) / count
    squares = start.index_add(0, member, (values - mean[member]).square())
    return _GroupSums(member, count, mean, squares)
