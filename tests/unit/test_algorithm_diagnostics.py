"""Diagnostics: small cases whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from tests.algorithm_cases import row_batch
from trainer.algorithm import diagnostics
from trainer.algorithm.denominators import Denominators
from trainer.algorithm.metrics import kl_estimate, reduce_metrics, value_metric_sums
from trainer.algorithm.options import Options
from trainer.algorithm.vapo import (
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
)

RETURNS = torch.tensor([1.0, 1.0, -1.0, -1.0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 1.0, -1.0, -1.0], 1.0), ([0.0] * 4, 0.0), ([-1.0, -1.0, 1.0, 1.0], -3.0),
     ([1.5, 1.5, -0.5, -0.5], 1.0)],
)
def test_explained_variance(values: list[float], expected: float) -> None:
    known = torch.tensor(values)
    assert diagnostics.explained_variance(known, RETURNS) == pytest.approx(expected)
    sums = value_metric_sums(known, RETURNS, torch.ones(4, dtype=torch.bool))
    reduced = reduce_metrics(sums, Denominators(0, 0, 0, 4))
    assert reduced["value/explained_variance"] == pytest.approx(expected)


def test_explained_variance_of_equal_returns_is_undefined() -> None:
    same = torch.ones(3)
    assert diagnostics.explained_variance(torch.zeros(3), same) is None
    sums = value_metric_sums(torch.zeros(3), same, torch.ones(3, dtype=torch.bool))
    assert "value/explained_variance" not in reduce_metrics(sums, Denominators(0, 0, 0, 3))


def test_metrics_over_nothing_are_left_out() -> None:
    sums = value_metric_sums(torch.zeros(3), torch.ones(3), torch.zeros(3, dtype=torch.bool))
    assert reduce_metrics(sums, Denominators(0, 0, 0, 0)) == {}


def test_initial_value_mean() -> None:
    values = torch.tensor([0.5, 9.0, -0.25, 9.0, 9.0])
    assert diagnostics.initial_value_mean(values, torch.tensor([2, 3])) == pytest.approx(0.125)


def test_ratio_quantiles() -> None:
    log_ratio = torch.tensor([2.0, 0.5, 1.0, 4.0, 3.0]).log()
    got = diagnostics.ratio_quantiles(log_ratio, (0.0, 0.5, 1.0))
    assert got == pytest.approx([0.5, 2.0, 4.0])


def test_effective_sample_size() -> None:
    assert diagnostics.effective_sample_size(torch.full((8,), 0.3)) == pytest.approx(1.0)
    one = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert diagnostics.effective_sample_size(one) == pytest.approx(0.25)
    assert diagnostics.effective_sample_size(torch.zeros(4)) == 0.0


def test_mismatch_kl_is_the_divergence_in_expectation() -> None:
    """Weighted by the sampling policy over a whole vocabulary, the estimate is exact."""
    generator = torch.Generator().manual_seed(0)
    sampled, other = torch.randn(2, 50, generator=generator, dtype=torch.float64).log_softmax(-1)
    exact = (sampled.exp() * (sampled - other)).sum().item()
    estimate = (sampled.exp() * kl_estimate(sampled, other)).sum().item()
    assert estimate == pytest.approx(exact)
    assert diagnostics.mismatch_kl(sampled, sampled) == 0.0
    assert diagnostics.mismatch_kl(sampled, sampled - math.log(2)) == pytest.approx(
        0.5 - 1 + math.log(2))


def test_advantage_by_decile() -> None:
    lengths = torch.tensor([20, 10])
    advantages = torch.cat([torch.arange(20) // 2, -torch.arange(10)]).float()
    got = diagnostics.advantage_by_decile(advantages, lengths)
    assert got == pytest.approx([float(decile) for decile in range(10)])
    assert math.isnan(diagnostics.advantage_by_decile(torch.ones(1), torch.tensor([1]))[5])


def test_policy_metrics_of_four_known_tokens() -> None:
    """Ratios 2, 2, 0.5, 0.5 with advantages +1, -1, +1, -1: one token meets either edge."""
    options = Options(correction="none", truncation="terminal", positive_example_weight=0.0)
    batch = compute_advantages_and_targets(row_batch([[0.0] * 4], [1.0]), options)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])
    batch = type(batch)(**{**batch.__dict__, "advantages": signs})
    behaviour = torch.full((4,), -2.0, dtype=torch.float64)
    current = behaviour + torch.tensor([2.0, 2.0, 0.5, 0.5]).log()
    counts = count_denominators(batch)
    result = policy_objective(current, behaviour, current, batch, counts, options,
                              entropies=torch.full((4,), 0.6))
    means = reduce_metrics(result.metrics, counts)
    assert means["policy/clip_fraction_up"] == 0.25
    assert means["policy/clip_fraction_down"] == 0.25
    assert means["policy/ratio"] == pytest.approx(1.25)
    assert means["policy/advantage"] == 0.0
    assert means["policy/advantage_magnitude"] == 1.0
    assert means["policy/entropy"] == pytest.approx(0.6)
    assert means["policy/effective_sample_size"] == 1.0
    assert means["policy/mismatch_magnitude"] == pytest.approx(math.log(2))
    assert means["policy/loss"] == pytest.approx(-(1.28 - 2 + 0.5 - 0.8) / 4)
    assert means["policy/total_loss"] == means["policy/loss"]
