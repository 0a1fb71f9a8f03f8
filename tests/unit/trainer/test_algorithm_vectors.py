"""Worked numbers: lambda, advantages, targets, clip, computed by hand from the equations."""

from __future__ import annotations

import math

import pytest
import torch

from tests.support import reference_vapo as reference
from tests.support.algorithm_cases import scored_rows
from trainer.algorithm.advantages import AdvantagesAndTargets, decoupled_gae
from trainer.algorithm.lambdas import constant_lambda, length_adaptive_lambda
from trainer.algorithm.objective import compute_advantages_and_targets
from trainer.algorithm.policy_loss import clipped_surrogate
from vapo.settings import AlgorithmSettings

VALUES = [0.1, 0.3, -0.2, 0.5]


def advantages(values: list[float], reward: float, lam: float, final: float = 0.0) -> list[float]:
    return gae(values, reward, lam, final).advantages.tolist()


def targets(reward: float, lam: float, final: float = 0.0) -> list[float]:
    return gae(VALUES, reward, lam, final).targets.tolist()


def gae(values: list[float], reward: float, lam: float, final: float) -> AdvantagesAndTargets:
    lengths = torch.tensor([len(values)])
    lambdas = constant_lambda(lengths, lam)
    known = torch.tensor(values, dtype=torch.float64)
    after = torch.tensor([final], dtype=torch.float64)
    return decoupled_gae(known, lengths, torch.tensor([reward]), after, lambdas, lambdas)


@pytest.mark.parametrize(
    ("lam", "expected"),
    [
        (0.0, [0.2, -0.5, 0.7, 0.5]),
        (0.5, [0.1875, -0.025, 0.95, 0.5]),
        (0.95, [0.7854375, 0.61625, 1.175, 0.5]),
        (1.0, [0.9, 0.7, 1.2, 0.5]),
    ],
)
def test_advantages_of_the_worked_row(lam: float, expected: list[float]) -> None:
    assert advantages(VALUES, 1.0, lam) == pytest.approx(expected, abs=1e-12)
    assert reference.advantages(VALUES, 1.0, lam) == pytest.approx(expected, abs=1e-12)


def test_targets_of_the_worked_row() -> None:
    assert targets(1.0, 1.0) == [1.0] * 4
    assert targets(1.0, 0.95) == pytest.approx([0.8854375, 0.91625, 0.975, 1.0], abs=1e-12)


def test_truncated_worked_row() -> None:
    assert advantages(VALUES, 0.0, 0.5, final=0.4) == pytest.approx([0.1125, -0.175, 0.65, -0.1])
    assert targets(0.0, 1.0, final=0.4) == [0.4] * 4
    assert advantages(VALUES, -1.0, 0.5) == pytest.approx([-0.0625, -0.525, -0.05, -1.5])


def test_forty_tokens_with_a_blank_critic() -> None:
    batch = scored_rows([[0.0] * 40], [1.0], correct=[True])
    result = compute_advantages_and_targets(batch, AlgorithmSettings()).advantages
    assert result[0].item() == pytest.approx(0.5**39)
    assert result[38].item() == 0.5
    assert result[39].item() == 1.0


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (1, 0.0),
        (10, 0.0),
        (20, 0.0),
        (21, 1 / 21),
        (40, 0.5),
        (100, 0.8),
        (200, 0.9),
        (400, 0.95),
        (1000, 0.98),
        (2000, 0.99),
        (5000, 0.996),
        (8192, 0.99756),
        (16384, 0.99878),
        (20480, 0.99902),
    ],
)
def test_length_adaptive_lambda(length: int, expected: float) -> None:
    lam = length_adaptive_lambda(torch.tensor([length]), 0.05).item()
    assert lam == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (0.7, 1.0, 0.7),
        (0.7, -1.0, -0.8),
        (1.5, 1.0, 1.28),
        (1.5, -1.0, -1.5),
        (0.9, 1.0, 0.9),
        (1.2, 1.0, 1.2),
        (1.2, -1.0, -1.2),
    ],
)
def test_clip_terms(ratio: float, advantage: float, expected: float) -> None:
    result = clipped_surrogate(
        torch.tensor([math.log(ratio)], dtype=torch.float64),
        torch.zeros(1, dtype=torch.float64),
        torch.tensor([advantage]),
        0.2,
        0.28,
    )
    assert result.objective.item() == pytest.approx(expected, rel=1e-6)
    assert result.clipped_up.item() == (ratio > 1.28 and advantage > 0)
    assert result.clipped_down.item() == (ratio < 0.8 and advantage < 0)
