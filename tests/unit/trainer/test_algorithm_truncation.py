"""The four treatments of a response cut at the length limit, and the soft punishment itself."""

from __future__ import annotations

import pytest
import torch

from tests.support.algorithm_cases import scored_rows
from trainer.algorithm.objective import (
    LearningSignal,
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
    value_objective,
)
from trainer.algorithm.overlong import soft_overlong_punishment
from vapo.settings import AlgorithmSettings
from vapo.settings.truncation import Truncation

VALUES = [0.1, 0.3, -0.2, 0.5]


def treat(truncation: Truncation | str) -> LearningSignal:
    """Row 0 ended, row 1 was cut; both hold the worked values; lambda 0.5."""
    options = AlgorithmSettings(
        length_adaptive_lambda=False, lambda_policy=0.5, truncation=truncation, overlong_buffer_tokens=2
    )
    batch = scored_rows(
        [VALUES, VALUES], [1.0, -1.0], correct=[True, True], truncated=[False, True], bootstrap=[9.0, 0.4]
    )
    return compute_advantages_and_targets(batch, options, max_new_tokens=5)


@pytest.mark.parametrize(
    ("truncation", "advantages", "target", "policy", "positive", "value"),
    [
        ("terminal", [-0.0625, -0.525, -0.05, -1.5], -1.0, True, True, True),
        ("mask_policy", [-0.0625, -0.525, -0.05, -1.5], -1.0, False, False, True),
        ("soft_punishment", [-0.125, -0.65, -0.3, -2.0], -1.5, True, True, True),
        ("mask_and_punish", [-0.125, -0.65, -0.3, -2.0], -1.5, False, False, True),
        ("bootstrap", [0.1125, -0.175, 0.65, -0.1], 0.4, True, False, False),
    ],
)
def test_cut_row(
    truncation: str, advantages: list[float], target: float, policy: bool, positive: bool, value: bool
) -> None:
    row = treat(truncation).select_rows(torch.tensor([1]))
    assert row.advantages.tolist() == pytest.approx(advantages)
    assert row.targets.tolist() == pytest.approx([target] * 4)
    assert row.policy_mask.tolist() == [policy] * 4
    assert row.positive_mask.tolist() == [positive] * 4
    assert row.value_mask.tolist() == [value] * 4


@pytest.mark.parametrize("truncation", list(Truncation))
def test_what_the_critic_is_measured_against_is_what_it_learns(truncation: Truncation) -> None:
    batch = treat(truncation)
    known = batch.value_mask
    torch.testing.assert_close(batch.returns[known], batch.targets[known])


@pytest.mark.parametrize("truncation", ["terminal", "mask_policy", "bootstrap"])
def test_row_that_ended_is_untouched(truncation: str) -> None:
    row = treat(truncation).select_rows(torch.tensor([0]))
    assert row.advantages.tolist() == pytest.approx([0.1875, -0.025, 0.95, 0.5])
    assert row.targets.tolist() == [1.0] * 4
    assert bool((row.policy_mask & row.positive_mask & row.value_mask).all())


def test_masked_rows_leave_the_denominators() -> None:
    counts = count_denominators(treat("mask_policy"))
    assert (counts.policy_tokens, counts.policy_rows) == (4.0, 1.0)
    assert (counts.positive_tokens, counts.value_tokens) == (4.0, 8.0)


@pytest.mark.parametrize("truncation", list(Truncation))
def test_gradients_reach_a_cut_row_exactly_where_its_treatment_says(truncation: Truncation) -> None:
    """Actor and critic gradients of both rows against the equations written out by hand."""
    batch = treat(truncation)
    options = AlgorithmSettings(truncation=truncation, overlong_buffer_tokens=2, correction="none")
    counts = count_denominators(batch)
    log_probs = torch.full((8,), -1.0, dtype=torch.float64, requires_grad=True)
    values = torch.tensor(VALUES * 2, dtype=torch.float64, requires_grad=True)
    policy_objective(log_probs, log_probs.detach(), None, batch, counts, options).loss.backward()
    value_objective(values, batch, counts).loss.backward()
    masked = truncation in ("mask_policy", "mask_and_punish")
    tokens = 4 if masked else 8
    positives = 4 if masked or truncation is Truncation.BOOTSTRAP else 8
    for row in (0, 1):
        part = slice(4 * row, 4 * row + 4)
        in_policy = row == 0 or not masked
        positive = row == 0 or truncation in ("terminal", "soft_punishment")
        actor = (-batch.advantages[part] / tokens) * in_policy - 0.1 * positive / positives
        assert log_probs.grad is not None
        torch.testing.assert_close(log_probs.grad[part], actor)
        in_value = row == 0 or truncation is not Truncation.BOOTSTRAP
        critic = (
            (values.detach()[part] - batch.targets[part])
            / (8 if in_value and truncation is not Truncation.BOOTSTRAP else 4)
            * in_value
        )
        assert values.grad is not None
        torch.testing.assert_close(values.grad[part], critic)


def test_bootstrap_without_values_is_refused() -> None:
    batch = scored_rows([VALUES], [1.0], truncated=[True])
    with pytest.raises(ValueError, match="bootstrap_values is missing"):
        compute_advantages_and_targets(batch, AlgorithmSettings(truncation="bootstrap"))


def test_a_length_punishment_without_a_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="max_new_tokens is missing"):
        compute_advantages_and_targets(scored_rows([VALUES], [1.0]), AlgorithmSettings(truncation="soft_punishment"))


def test_soft_punishment_is_dapo_eq_13() -> None:
    lengths = torch.tensor([1, 16384, 16385, 18432, 20480, 30000])
    got = soft_overlong_punishment(lengths, 20480, 4096).tolist()
    assert got == pytest.approx([0.0, 0.0, -1 / 4096, -0.5, -1.0, -1.0])


@pytest.mark.parametrize("buffer_tokens", [0, 11])
def test_impossible_buffer_is_refused(buffer_tokens: int) -> None:
    with pytest.raises(ValueError, match="buffer_tokens"):
        soft_overlong_punishment(torch.tensor([3]), 10, buffer_tokens)
