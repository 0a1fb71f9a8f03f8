"""One rollout batch: gradients whatever the cut, order of values and updates, rescoring."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.support.trainer_cases import random_rows, tiny_critic, tiny_policy
from trainer.algorithm.objective import compute_advantages_and_targets, count_denominators
from trainer.algorithm.options import Options
from trainer.learning.batch import Batch, TrainingRow
from trainer.learning.critic_steps import CriticSteps
from trainer.learning.forward import Packing, state_values, token_log_probs
from trainer.learning.optimiser import Optimiser, OptimiserOptions
from trainer.learning.phase_times import Phases
from trainer.learning.update import (
    Learner,
    PolicySteps,
    UpdateOptions,
    batch_values,
    draw_mini_batches,
    row_batch,
    update,
)
from trainer.ranks.parallel import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"))
ROWS = 14


def _learner(dtype: torch.dtype = torch.float32, rate: float = 1e-3) -> Learner:
    policy, critic = tiny_policy().to(dtype), tiny_critic().to(dtype)
    options = OptimiserOptions(rate)
    return Learner(policy, Optimiser(policy, options), critic, Optimiser(critic, options))


def _options(
    budget: int = 128, mini_batch: int = 7, flat: bool = False, lag: int = 1, epochs: int = 1
) -> UpdateOptions:
    return UpdateOptions(mini_batch, Packing(budget, flat), epochs, lag)


def _gradients(
    rows: list[TrainingRow], options: UpdateOptions, algorithm: Options
) -> tuple[dict[str, float], list[torch.Tensor]]:
    """Metrics and all gradients of one optimiser step on all rows, in float64."""
    learner, batch = _learner(torch.float64), Batch(rows)
    values, _ = batch_values(learner, batch, algorithm, options, ALONE)
    advantages = compute_advantages_and_targets(row_batch(batch, values), algorithm)
    policy = PolicySteps(learner, batch, advantages, algorithm, options, ALONE)
    critic = CriticSteps(learner.critic, learner.critic_optimiser, batch, advantages, options.packing, ALONE)
    policy.proximal = batch.behaviour_log_probs.double()
    denominators = count_denominators(advantages)
    policy._record.end_step(denominators, 0.0)
    critic._record.end_step(denominators, 0.0)
    everything = range(len(rows))
    critic.accumulate_gradient(everything, denominators)
    policy.accumulate_gradient(everything, denominators)
    metrics = policy.reduced_metrics() | critic.reduced_metrics()
    models = (learner.policy, learner.critic)
    return metrics, [p.grad for model in models for p in model.parameters()]


@pytest.mark.parametrize(
    "algorithm",
    [
        Options(),
        Options(token_level_loss=False, correction="none", truncation="terminal"),
        Options(truncation="bootstrap", decoupled_gae=False, correction="icepop"),
        Options(estimator="gae", entropy_weight=0.0, correction="decoupled", whiten_advantages=True),
    ],
)
def test_loss_and_gradient_do_not_depend_on_micro_batches_or_packing(algorithm: Options) -> None:
    rows = random_rows(ROWS, seed=1)
    reference_metrics, reference = _gradients(rows, _options(budget=1), algorithm)
    for budget, flat in ((40, False), (40, True), (100, False), (10_000, False), (10_000, True)):
        metrics, gradients = _gradients(rows, _options(budget, flat=flat), algorithm)
        for name, expected in reference_metrics.items():
            assert metrics[name] == pytest.approx(expected, rel=1e-6), name
        for one, other in zip(reference, gradients, strict=True):
            assert torch.linalg.norm(one - other) <= 1e-6 * torch.linalg.norm(one)
    assert sum(float(gradient.abs().sum()) for gradient in reference) > 0


def test_row_order_does_not_matter_either() -> None:
    rows = random_rows(ROWS, seed=1)
    _, forward = _gradients(rows, _options(64), Options())
    _, backward = _gradients(rows[::-1], _options(64), Options())
    for one, other in zip(forward, backward, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-12)


def test_values_are_read_before_the_critic_learns_from_the_rows() -> None:
    learner, batch = _learner(rate=0.05), Batch(random_rows(ROWS))
    before = state_values(learner.critic, batch, range(ROWS), Packing(128), ALONE)
    result = update(learner, batch, Options(), _options(mini_batch=3), ALONE, np.random.default_rng(0), Phases())
    torch.testing.assert_close(result.values, before.before_tokens)
    after = state_values(learner.critic, batch, range(ROWS), Packing(128), ALONE)
    assert (after.before_tokens - before.before_tokens).abs().max() > 0.01
    torch.testing.assert_close(result.advantages.targets, result.advantages.returns)


@torch.no_grad()
def test_values_are_of_the_states_before_each_token_and_after_the_last() -> None:
    critic, rows = tiny_critic(), random_rows(ROWS)
    batch = Batch(rows)
    values = state_values(critic, batch, range(ROWS), Packing(100), ALONE)
    for number, before in enumerate(values.before_tokens.split(batch.lengths.tolist())):
        row = rows[number]
        tokens = torch.from_numpy(np.concatenate([row.prompt_token_ids, row.response_token_ids])).long()
        hidden = critic.model(input_ids=tokens[None]).last_hidden_state[0]
        expected = critic.value_head(hidden)[row.prompt_token_ids.size - 1 :, 0]
        torch.testing.assert_close(before, expected[:-1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(values.final[number], expected[-1], atol=1e-4, rtol=1e-4)


def test_proximal_log_probs_are_of_the_weights_before_the_step() -> None:
    learner, batch = _learner(rate=0.05), Batch(random_rows(ROWS))
    before = token_log_probs(learner.policy, batch, range(ROWS), Packing(128), ALONE)
    result = update(
        learner,
        batch,
        Options(correction="token_tis"),
        _options(mini_batch=5),
        ALONE,
        np.random.default_rng(0),
        Phases(),
    )
    torch.testing.assert_close(result.proximal_log_probs, before)
    assert (result.log_probs - before).abs().max() > 0.01


def test_every_mini_batch_is_held_against_the_weights_before_the_step() -> None:
    """Against the current ones the ratio would be 1 in every mini-batch, and the clip idle."""
    learner, batch = _learner(rate=0.05), Batch(random_rows(ROWS))
    result = update(
        learner,
        batch,
        Options(correction="decoupled"),
        _options(mini_batch=5),
        ALONE,
        np.random.default_rng(0),
        Phases(),
    )
    mask = result.advantages.policy_mask
    ratio = (result.log_probs - result.proximal_log_probs)[mask].exp()
    weight = (result.proximal_log_probs - batch.behaviour_log_probs)[mask].exp()
    assert ratio.std() > 0.05
    assert result.metrics["policy/ratio"] == pytest.approx(float(ratio.mean()), rel=1e-4)
    assert result.metrics["policy/correction_weight"] == pytest.approx(float(weight.mean()), rel=1e-4)


def test_fresh_service_values_are_reused_and_stale_ones_rescored() -> None:
    learner = _learner()
    learner.version = 5
    rows = [
        dataclasses.replace(row, critic_version=5 - number % 3)
        for number, row in enumerate(random_rows(6, scored=True))
    ]
    rows.append(random_rows(1, seed=9)[0])
    batch = Batch(rows)
    values, rescored = batch_values(learner, batch, Options(), _options(lag=1), ALONE)
    fresh = state_values(learner.critic, batch, range(7), Packing(128), ALONE)
    assert rescored == pytest.approx(3 / 7)
    parts = values.before_tokens.split(batch.lengths.tolist())
    scored_now = fresh.before_tokens.split(batch.lengths.tolist())
    for number, row in enumerate(rows):
        reused = row.critic_version in (4, 5)
        expected = torch.from_numpy(row.values[:-1]) if reused else scored_now[number]
        torch.testing.assert_close(parts[number], expected)
        last = float(row.values[-1]) if reused else float(fresh.final[number])
        assert float(values.final[number]) == pytest.approx(last)


def test_values_of_a_critic_that_was_not_pretrained_are_rescored_however_fresh() -> None:
    learner = _learner()
    learner.version = learner.oldest_usable_critic = 1
    rows = random_rows(2, scored=True, version=0) + random_rows(2, scored=True, version=1)
    assert batch_values(learner, Batch(rows), Options(), _options(lag=1), ALONE)[1] == 0.5
    learner.oldest_usable_critic = 0
    assert batch_values(learner, Batch(rows), Options(), _options(lag=1), ALONE)[1] == 0.0


def test_mini_batches_cover_every_row_once_per_epoch() -> None:
    parts = draw_mini_batches(10, 4, 2, np.random.default_rng(0))
    assert [len(part) for part in parts] == [4, 3, 3] * 2
    for epoch in (parts[:3], parts[3:]):
        assert sorted(row for part in epoch for row in part) == list(range(10))
    assert parts[:3] != parts[3:]


def test_group_estimator_leaves_the_critic_alone() -> None:
    learner, batch = _learner(rate=0.05), Batch(random_rows(ROWS))
    before = [parameter.clone() for parameter in learner.critic.parameters()]
    result = update(
        learner,
        batch,
        Options(estimator="group", correction="none"),
        _options(),
        ALONE,
        np.random.default_rng(0),
        Phases(),
    )
    assert all(torch.equal(one, other) for one, other in zip(before, learner.critic.parameters(), strict=True))
    assert "policy/loss" in result.metrics
    assert "value/loss" not in result.metrics


def test_training_repeatedly_on_the_same_rows_raises_the_positives_and_fits_the_returns() -> None:
    learner, batch = _learner(rate=5e-3), Batch(random_rows(ROWS))
    algorithm, random = Options(correction="none"), np.random.default_rng(0)
    runs = [update(learner, batch, algorithm, _options(), ALONE, random, Phases()) for _ in range(20)]
    assert runs[-1].metrics["value/loss"] < 0.5 * runs[0].metrics["value/loss"]
    positive = runs[0].advantages.positive_mask
    assert runs[-1].log_probs[positive].mean() > runs[0].log_probs[positive].mean() + 0.1


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    learner, batch = _learner(), Batch(random_rows(4))
    with torch.no_grad():
        learner.critic.value_head.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="gradient norm"):
        update(learner, batch, Options(), _options(), ALONE, np.random.default_rng(0), Phases())
