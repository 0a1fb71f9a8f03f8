"""Diagnostics: small cases whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from tests.support.algorithm_cases import scored_rows
from trainer.algorithm import diagnostics
from trainer.algorithm.denominators import Denominators
from trainer.algorithm.metrics import kl_estimate, reduce_metrics, value_metric_sums
from trainer.algorithm.objective import compute_advantages_and_targets, count_denominators, policy_objective
from vapo.settings import AlgorithmSettings

RETURNS = torch.tensor([1.0, 1.0, -1.0, -1.0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 1.0, -1.0, -1.0], 1.0), ([0.0] * 4, 0.0), ([-1.0, -1.0, 1.0, 1.0], -3.0), ([1.5, 1.5, -0.5, -0.5], 1.0)],
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
    assert diagnostics.mismatch_kl(sampled, sampled - math.log(2)) == pytest.approx(0.5 - 1 + math.log(2))


def test_the_plain_estimator_of_the_divergence_may_be_negative() -> None:
    sampled, other = torch.tensor([-1.0, -2.0]), torch.tensor([-0.5, -1.9])
    assert diagnostics.mismatch_kl_k1(sampled, other) == pytest.approx(-0.3)
    assert diagnostics.mismatch_kl(sampled, other) > 0


def test_explained_variance_by_decile_finds_the_half_that_is_known() -> None:
    """Two responses of 20 tokens; V is 0 in the first half and the return in the second."""
    lengths = torch.tensor([20, 20])
    returns = torch.cat([torch.ones(20), -torch.ones(20)])
    values = torch.cat([torch.zeros(10), torch.ones(10), torch.zeros(10), -torch.ones(10)])
    got = diagnostics.explained_variance_by_decile(values, returns, lengths)
    assert got == pytest.approx([0.0] * 5 + [1.0] * 5)
    one_token = diagnostics.explained_variance_by_decile(
        torch.zeros(2), torch.tensor([1.0, -1.0]), torch.tensor([1, 1])
    )
    assert one_token == [0.0, *[None] * 9]


def test_value_bias_by_length_sorts_rows_and_averages_tokens() -> None:
    lengths = torch.tensor([3, 1, 4, 2])
    values = torch.tensor([0.0, 0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 5.0, -1.0, 0.0])
    got = diagnostics.value_bias_by_length(values, torch.ones(10), lengths, parts=2)
    assert [part["length"] for part in got] == [1.5, 3.5]
    assert [part["bias"] for part in got] == pytest.approx([(1 - 2 - 1) / 3, (-3 + 4) / 7])
    assert len(diagnostics.value_bias_by_length(values, torch.ones(10), lengths, parts=9)) == 4


def test_initial_value_correlation_is_over_prompts() -> None:
    lengths, groups = torch.tensor([2, 1, 1, 1]), torch.tensor([7, 7, 3, 3])
    values = torch.tensor([0.9, -9.0, 0.7, -0.5, -0.7])
    returns = torch.tensor([1.0, 1.0, 1.0, -1.0, 1.0])
    got = diagnostics.initial_value_correlation(values, returns, lengths, groups)
    assert got == pytest.approx(1.0)  # two prompts: V 0.8 and -0.6, mean returns 1 and 0
    assert diagnostics.initial_value_correlation(-values, returns, lengths, groups) == (pytest.approx(-1.0))
    alone = torch.zeros(4, dtype=torch.int64)
    assert diagnostics.initial_value_correlation(values, returns, lengths, alone) is None


def test_advantage_by_decile() -> None:
    lengths = torch.tensor([20, 10])
    advantages = torch.cat([torch.arange(20) // 2, -torch.arange(10)]).float()
    got = diagnostics.advantage_by_decile(advantages, lengths)
    assert got == pytest.approx([float(decile) for decile in range(10)])
    assert math.isnan(diagnostics.advantage_by_decile(torch.ones(1), torch.tensor([1]))[5])


def test_policy_metrics_of_four_known_tokens() -> None:
    """Ratios 2, 2, 0.5, 0.5 with advantages +1, -1, +1, -1: one token meets either edge."""
    options = AlgorithmSettings(correction="none", truncation="terminal", positive_example_weight=0.0)
    batch = compute_advantages_and_targets(scored_rows([[0.0] * 4], [1.0]), options)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])
    batch = type(batch)(**{**batch.__dict__, "advantages": signs})
    behaviour = torch.full((4,), -2.0, dtype=torch.float64)
    current = behaviour + torch.tensor([2.0, 2.0, 0.5, 0.5]).log()
    counts = count_denominators(batch)
    result = policy_objective(current, behaviour, current, batch, counts, options, entropies=torch.full((4,), 0.6))
    means = reduce_metrics(result.metrics, counts)
    assert means["policy/clip_fraction_up"] == 0.25
    assert means["policy/clip_fraction_down"] == 0.25
    assert means["policy/ratio"] == pytest.approx(1.25)
    assert means["policy/advantage"] == 0.0
    assert means["policy/advantage_magnitude"] == 1.0
    assert means["policy/entropy"] == pytest.approx(0.6)
    assert means["policy/effective_sample_size"] == 1.0
    assert means["policy/kl_from_behaviour"] == pytest.approx((2 + 2 + 0.5 + 0.5) / 4 - 1)
    assert means["policy/kl_from_behaviour_k1"] == pytest.approx(0.0, abs=1e-12)
    assert means["policy/loss"] == pytest.approx(-(1.28 - 2 + 0.5 - 0.8) / 4)
    assert means["policy/total_loss"] == means["policy/loss"]
