"""Edges of the arithmetic: overflow, nothing to learn from, rows of one token, very long rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.algorithm_cases import random_batch, scored_rows
from tests.support.trainer_cases import random_rows, tiny_policy
from trainer.algorithm.corrections import LOG_RATIO_LIMIT
from trainer.algorithm.denominators import Denominators
from trainer.algorithm.diagnostics import explained_variance, ratio_quantiles
from trainer.algorithm.group_advantages import group_advantages
from trainer.algorithm.metrics import reduce_metrics, value_metric_sums
from trainer.algorithm.objective import (
    LearningSignal,
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
    value_objective,
)
from trainer.learning.batch import RolloutBatch, UntrainableError
from trainer.learning.micro_batches import idle_micro_batch
from vapo.settings import AlgorithmSettings
from vapo.settings.corrections import CORRECTIONS


@pytest.mark.parametrize("name", CORRECTIONS)
@pytest.mark.parametrize("shift", [-900.0, -30.0, 30.0, 900.0])
def test_no_distance_from_the_sampler_makes_loss_or_gradient_infinite(name: str, shift: float) -> None:
    """Ratios of exp(+-900), in float32, on tokens of either sign of the advantage."""
    options = AlgorithmSettings(correction=name, truncation="terminal")
    batch = compute_advantages_and_targets(
        scored_rows([[0.0] * 2, [0.0] * 2], [1.0, -1.0], correct=[True, False], dtype=torch.float32), options
    )
    batch = replace(batch, advantages=torch.tensor([1.0, 1.0, -1.0, -1.0]))
    behaviour = torch.full((4,), min(-1.0, -1.0 - shift))
    current = (behaviour + shift).requires_grad_()
    proximal = behaviour + shift / 2
    result = policy_objective(current, behaviour, proximal, batch, count_denominators(batch), options)
    result.loss.backward()
    assert current.grad is not None
    assert torch.isfinite(result.loss)
    assert torch.isfinite(current.grad).all()
    assert all(bool(torch.isfinite(total)) for total in result.metrics.values())


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_ratio_is_exact_up_to_the_limit(name: str) -> None:
    """The limit holds overflow back and nothing that a policy could do in a step."""
    assert LOG_RATIO_LIMIT >= 20.0
    options = AlgorithmSettings(correction=name, truncation="terminal")
    batch = compute_advantages_and_targets(scored_rows([[0.0]], [-1.0]), options)
    current = torch.tensor([-1.0], dtype=torch.float64, requires_grad=True)
    behaviour = current.detach() - 19.0
    result = policy_objective(current, behaviour, behaviour, batch, count_denominators(batch), options)
    assert result.metrics["policy/ratio"].item() == pytest.approx(np.exp(19.0))
    if CORRECTIONS[name].clipped:  # A < 0 and r >> 1: unbounded, as in the paper
        assert result.loss.item() == pytest.approx(np.exp(19.0))


def test_logged_ratios_are_plain_numbers_however_far_apart_the_policies_are() -> None:
    found = ratio_quantiles(torch.tensor([-900.0, 0.0, 900.0]), (0.0, 0.5, 1.0))
    assert found[1] == 1.0
    assert np.isfinite(found).all()


@pytest.mark.parametrize("reward", [0.1, -1.0, 0.7])
def test_equal_returns_explain_nothing_whatever_their_rounding(reward: float) -> None:
    returns = torch.full((1001,), reward)
    values = torch.linspace(-1, 1, 1001)
    assert explained_variance(values, returns) is None
    every = torch.ones(1001, dtype=torch.bool)
    means = reduce_metrics(value_metric_sums(values, returns, every), Denominators(0, 0, 0, 1001))
    assert "value/explained_variance" not in means


def test_all_right_all_wrong_and_all_cut_batches_have_finite_losses() -> None:
    for correct, truncated in ((True, False), (False, False), (False, True), (True, True)):
        source = replace(
            random_batch(3, [1, 4, 2]),
            correct=torch.full((3,), correct),
            truncated=torch.full((3,), truncated),
            rewards=torch.full((3,), 1.0 if correct else -1.0, dtype=torch.float64),
        )
        for estimator in ("gae", "group"):
            options = AlgorithmSettings(estimator=estimator, drop_uniform_groups=estimator == "group")
            batch = compute_advantages_and_targets(source, options)
            counts = count_denominators(batch)
            log_probs = torch.full((7,), -1.0, dtype=torch.float64, requires_grad=True)
            values = torch.zeros(7, dtype=torch.float64, requires_grad=True)
            policy = policy_objective(log_probs, log_probs.detach(), None, batch, counts, options)
            value = value_objective(values, batch, counts)
            (policy.loss + value.loss).backward()
            assert torch.isfinite(batch.advantages).all()
            assert log_probs.grad is not None
            trains = not truncated and (estimator == "gae" or correct)
            assert bool(log_probs.grad.any()) == trains
            assert (values.grad is not None and bool(values.grad.any())) == (estimator == "gae")
            means = reduce_metrics(policy.metrics, counts)
            assert ("policy/positive_example_nll" in means) == (correct and not truncated)


def test_a_row_of_32768_tokens_is_no_different() -> None:
    """Lambda 0.99939 at alpha 0.05: R fades in the last few thousand tokens, targets do not."""
    length = 32_768
    batch = scored_rows([[0.25] * length], [1.0], dtype=torch.float32)
    result = compute_advantages_and_targets(batch, AlgorithmSettings())
    lam = 1 - 1 / (0.05 * length)
    assert result.targets.tolist() == [1.0] * length
    for back in (0, 1, 1000, 20_000):
        expected = 0.75 * lam**back
        assert result.advantages[length - 1 - back].item() == pytest.approx(expected, rel=1e-4)
    assert count_denominators(result).policy_tokens == length


@pytest.mark.parametrize("name", CORRECTIONS)
@pytest.mark.parametrize("token_level", [True, False])
def test_a_rank_without_rows_adds_nothing_but_has_a_gradient(name: str, token_level: bool) -> None:
    """Sharded models need its backward pass."""
    options = AlgorithmSettings(correction=name, token_level_loss=token_level, entropy_weight=0.1)
    batch = compute_advantages_and_targets(random_batch(4, [3, 5]), options)
    policy, idle = tiny_policy(), idle_micro_batch("cpu")
    scores = policy(idle)
    assert scores.log_probs.numel() == 0
    nothing = torch.zeros(0)
    result = policy_objective(
        scores.log_probs,
        nothing,
        nothing,
        batch.select_rows(idle.rows),
        count_denominators(batch),
        options,
        scores.entropy,
    )
    result.loss.backward()
    assert result.loss.item() == 0.0
    gradients = [p.grad for p in policy.parameters() if p.grad is not None]
    assert gradients
    assert not any(bool(gradient.any()) for gradient in gradients)
    assert not any(bool(total) for total in result.metrics.values())


@pytest.mark.parametrize("name", CORRECTIONS)
def test_the_switch_for_positive_examples_holds_for_every_correction(name: str) -> None:
    """One correct row whose advantages are 0: what is left is Eq 9, weighted or not."""
    low, high = (None, None) if name != "geometric_mask" else (0.5, None)
    gradients = {}
    for weighted in (True, False):
        options = AlgorithmSettings(
            correction=name,
            truncation="terminal",
            correction_low=low,
            correction_high=high,
            correct_positive_examples=weighted,
        )
        batch = compute_advantages_and_targets(scored_rows([[0.0] * 2], [1.0], correct=[True]), options)
        batch = replace(batch, advantages=torch.zeros(2, dtype=torch.float64))
        behaviour = torch.tensor([0.3, 0.5], dtype=torch.float64).log()
        proximal = torch.tensor([0.36, 0.4], dtype=torch.float64).log()
        current = torch.tensor([0.6, 0.4], dtype=torch.float64).log().requires_grad_()
        policy_objective(current, behaviour, proximal, batch, count_denominators(batch), options).loss.backward()
        assert current.grad is not None
        gradients[weighted] = (-current.grad / 0.05).tolist()
    assert gradients[False] == pytest.approx([1.0, 1.0])
    rho, ratio, product = [1.2, 0.8], [2.0, 0.8], [0.96, 0.96]
    expected = {
        "none": [1.0, 1.0],
        "token_tis": rho,
        "sequence_mask": product,
        "icepop": rho,
        "geometric_mask": [1.0, 1.0],
        "decoupled": rho,
        "dis": ratio,
        "cispo": ratio,
        "dppo": [0.0, 1.0],
    }
    assert gradients[True] == pytest.approx(expected[name])


def test_groups_are_compared_by_shaped_rewards_of_all_their_rows() -> None:
    """DAPO: the punished reward is what is normalised, and a cut row is one of its group."""
    options = AlgorithmSettings(
        estimator="group", truncation="mask_and_punish", drop_uniform_groups=True, overlong_buffer_tokens=2
    )
    batch = scored_rows(
        [[0.0] * 2, [0.0] * 3, [0.0] * 4],
        [1.0, 1.0, -1.0],
        correct=[True, True, False],
        truncated=[False, False, True],
        groups=[0, 0, 0],
    )
    result = compute_advantages_and_targets(batch, options, max_new_tokens=4)
    expected = group_advantages(torch.tensor([1.0, 0.5, -2.0]), torch.zeros(3, dtype=torch.int64))
    assert result.advantages[[0, 2, 5]].tolist() == pytest.approx(expected.tolist())
    assert result.policy_mask.tolist() == [True] * 5 + [False] * 4, "not uniform: one was wrong"


def test_without_decoupling_targets_take_the_length_adaptive_lambda() -> None:
    options = AlgorithmSettings(decoupled_gae=False, alpha=0.5)
    batch = random_batch(2, [6, 30])
    result = compute_advantages_and_targets(batch, options)
    assert batch.values is not None
    torch.testing.assert_close(result.targets, result.advantages + batch.values)


def test_weights_and_directions_in_the_policy_metrics() -> None:
    """Ratios 3 and 1/4 against the sampler; IcePop drops the second: weights 3 and 0."""
    batch, current, behaviour = _two_tokens("icepop")
    counts = count_denominators(batch)
    options = AlgorithmSettings(correction="icepop", truncation="terminal")
    means = reduce_metrics(policy_objective(current, behaviour, current, batch, counts, options).metrics, counts)
    assert means["policy/correction_weight"] == pytest.approx(1.5)
    assert means["policy/effective_sample_size"] == pytest.approx(0.5)
    assert means["policy/correction_dropped_fraction"] == pytest.approx(0.5)
    assert means["policy/kl_from_behaviour_k1"] == pytest.approx(np.log(4 / 3) / 2)
    assert means["policy/kl_from_behaviour"] == pytest.approx(((3 - 1 - np.log(3)) + (0.25 - 1 + np.log(4))) / 2)
    assert means["policy/positive_example_nll"] == pytest.approx(-float(current.mean()))
    assert means["policy/positive_token_fraction"] == 1.0


@pytest.mark.parametrize("name", ["dis", "cispo"])
def test_bounded_ratios_count_as_clipped_on_their_own_side(name: str) -> None:
    batch, current, behaviour = _two_tokens(name)
    current = current + torch.tensor([0.0, -3.0], dtype=torch.float64)
    counts = count_denominators(batch)
    for low, high, expected in ((0.5, 1.5, (0.5, 0.5)), (0.5, 4.0, (0.0, 0.5)), (0.0, 1.5, (0.5, 0.0))):
        options = AlgorithmSettings(correction=name, truncation="terminal", correction_low=low, correction_high=high)
        means = reduce_metrics(policy_objective(current, behaviour, None, batch, counts, options).metrics, counts)
        assert (means["policy/clip_fraction_up"], means["policy/clip_fraction_down"]) == expected


@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_log_probs_that_are_no_numbers_never_reach_a_batch(value: float) -> None:
    row = random_rows(1)[0]
    broken = row.behaviour_log_probs.copy()
    broken[-1] = value
    with pytest.raises(UntrainableError, match="behaviour_log_probs is not finite"):
        replace(row, behaviour_log_probs=broken)
    broken[-1] = 0.25
    with pytest.raises(UntrainableError, match="behaviour_log_probs is above 0"):
        replace(row, behaviour_log_probs=broken)


def test_a_group_may_lie_in_several_mini_batches() -> None:
    """Its baseline is made before the cut, from all its rows."""
    batch = RolloutBatch(random_rows(6))
    assert batch.groups.tolist() == [0, 0, 1, 1, 2, 2]
    source = replace(random_batch(8, [2, 3, 4, 5]), group_ids=torch.tensor([0, 1, 0, 1]))
    whole = compute_advantages_and_targets(source, AlgorithmSettings(estimator="group"))
    for rows in ([0, 1], [2, 3]):
        part = whole.select_rows(torch.tensor(rows))
        expected = group_advantages(source.rewards, torch.tensor([0, 1, 0, 1]))[rows]
        starts = part.lengths.cumsum(0) - part.lengths
        torch.testing.assert_close(part.advantages[starts], expected)


def _two_tokens(name: str) -> tuple[LearningSignal, torch.Tensor, torch.Tensor]:
    """A correct row of two tokens, current and behaviour log-probs with ratios 3 and 1/4."""
    batch = compute_advantages_and_targets(
        scored_rows([[0.0] * 2], [1.0], correct=[True]), AlgorithmSettings(correction=name, truncation="terminal")
    )
    behaviour = torch.full((2,), -2.0, dtype=torch.float64)
    return batch, behaviour + torch.tensor([3.0, 0.25], dtype=torch.float64).log(), behaviour
