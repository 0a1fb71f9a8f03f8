"""One rollout batch: gradients whatever the cut, order of values and updates, rescoring."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.support.trainer_cases import random_rows, tiny_critic, tiny_learner, tiny_policy, trainer_settings
from trainer.algorithm.objective import compute_advantages_and_targets, count_denominators
from trainer.learning.batch import RolloutBatch, TrainingRow
from trainer.learning.critic_steps import critic_steps
from trainer.learning.policy_steps import PolicySteps, token_log_probs
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.learning.values import batch_values, scored_rows, state_values
from vapo.settings import AlgorithmSettings, TrainerSettings

ROWS = 14


def _cut(budget: int, flat: bool = False) -> TrainerSettings:
    return trainer_settings(token_budget=budget, attention="flash_attention_2" if flat else "sdpa")


def _gradients(
    rows: list[TrainingRow], trainer: TrainerSettings, algorithm: AlgorithmSettings
) -> tuple[dict[str, float], list[torch.Tensor]]:
    """Metrics and all gradients of one optimiser step on all rows, in float64."""
    models = tiny_policy().double(), tiny_critic().double()
    learner, batch = tiny_learner(*models, algorithm=algorithm, trainer=trainer), RolloutBatch(rows)
    values, _ = batch_values(learner, batch)
    signal = compute_advantages_and_targets(scored_rows(batch, values), algorithm)
    policy, critic = PolicySteps(learner, batch, signal), critic_steps(learner, batch, signal)
    policy.proximal = batch.behaviour_log_probs.double()
    denominators = count_denominators(signal)
    for steps in (critic, policy.steps):
        steps._denominators.append(denominators)
        steps._gradient_norms.append(0.0)
        steps.accumulate_gradient(range(len(rows)), denominators)
    metrics = policy.steps.reduced_metrics() | critic.reduced_metrics()
    return metrics, [p.grad for model in models for p in model.parameters()]


@pytest.mark.parametrize(
    "algorithm",
    [
        AlgorithmSettings(),
        AlgorithmSettings(token_level_loss=False, correction="none", truncation="terminal"),
        AlgorithmSettings(truncation="bootstrap", decoupled_gae=False, correction="icepop"),
        AlgorithmSettings(estimator="gae", entropy_weight=0.0, correction="decoupled", whiten_advantages=True),
    ],
)
def test_loss_and_gradient_do_not_depend_on_micro_batches_or_packing(algorithm: AlgorithmSettings) -> None:
    rows = random_rows(ROWS, seed=1)
    reference_metrics, reference = _gradients(rows, _cut(1), algorithm)
    for budget, flat in ((40, False), (40, True), (100, False), (10_000, False), (10_000, True)):
        metrics, gradients = _gradients(rows, _cut(budget, flat), algorithm)
        for name, expected in reference_metrics.items():
            assert metrics[name] == pytest.approx(expected, rel=1e-6), name
        for one, other in zip(reference, gradients, strict=True):
            assert torch.linalg.norm(one - other) <= 1e-6 * torch.linalg.norm(one)
    assert sum(float(gradient.abs().sum()) for gradient in reference) > 0


def test_row_order_does_not_matter_either() -> None:
    rows = random_rows(ROWS, seed=1)
    _, forward = _gradients(rows, _cut(64), AlgorithmSettings())
    _, backward = _gradients(rows[::-1], _cut(64), AlgorithmSettings())
    for one, other in zip(forward, backward, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-12)


def test_values_are_read_before_the_critic_learns_from_the_rows() -> None:
    learner = tiny_learner(trainer=trainer_settings(rate=0.05, mini_batch_rollouts=3))
    batch = RolloutBatch(random_rows(ROWS))
    before = state_values(learner, batch, range(ROWS))
    result = update(learner, batch, StepTimer())
    torch.testing.assert_close(result.values, before.before_tokens)
    after = state_values(learner, batch, range(ROWS))
    assert (after.before_tokens - before.before_tokens).abs().max() > 0.01
    torch.testing.assert_close(result.signal.targets, result.signal.returns)


@torch.no_grad()
def test_values_are_of_the_states_before_each_token_and_after_the_last() -> None:
    critic, rows = tiny_critic(), random_rows(ROWS)
    batch = RolloutBatch(rows)
    values = state_values(tiny_learner(critic=critic, trainer=trainer_settings(token_budget=100)), batch, range(ROWS))
    for number, before in enumerate(values.before_tokens.split(batch.lengths.tolist())):
        row = rows[number]
        tokens = torch.from_numpy(np.concatenate([row.prompt_token_ids, row.response_token_ids])).long()
        hidden = critic.model(input_ids=tokens[None]).last_hidden_state[0]
        expected = critic.value_head(hidden)[row.prompt_token_ids.size - 1 :, 0]
        torch.testing.assert_close(before, expected[:-1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(values.final[number], expected[-1], atol=1e-4, rtol=1e-4)


def test_proximal_log_probs_are_of_the_weights_before_the_step() -> None:
    algorithm = AlgorithmSettings(correction="token_tis")
    learner = tiny_learner(algorithm=algorithm, trainer=trainer_settings(rate=0.05, mini_batch_rollouts=5))
    batch = RolloutBatch(random_rows(ROWS))
    before = token_log_probs(learner, batch, range(ROWS))
    result = update(learner, batch, StepTimer())
    torch.testing.assert_close(result.proximal_log_probs, before)
    assert (result.log_probs - before).abs().max() > 0.01


def test_every_mini_batch_is_held_against_the_weights_before_the_step() -> None:
    """Against the current ones the ratio would be 1 in every mini-batch, and the clip idle."""
    algorithm = AlgorithmSettings(correction="decoupled")
    learner = tiny_learner(algorithm=algorithm, trainer=trainer_settings(rate=0.05, mini_batch_rollouts=5))
    batch = RolloutBatch(random_rows(ROWS))
    result = update(learner, batch, StepTimer())
    mask = result.signal.policy_mask
    ratio = (result.log_probs - result.proximal_log_probs)[mask].exp()
    weight = (result.proximal_log_probs - batch.behaviour_log_probs)[mask].exp()
    assert ratio.std() > 0.05
    assert result.metrics["policy/ratio"] == pytest.approx(float(ratio.mean()), rel=1e-4)
    assert result.metrics["policy/correction_weight"] == pytest.approx(float(weight.mean()), rel=1e-4)


def test_fresh_service_values_are_reused_and_stale_ones_rescored() -> None:
    learner = tiny_learner()
    learner.version = 5
    rows = [
        dataclasses.replace(row, critic_version=5 - number % 3)
        for number, row in enumerate(random_rows(6, scored=True))
    ]
    rows.append(random_rows(1, seed=9)[0])
    batch = RolloutBatch(rows)
    values, rescored = batch_values(learner, batch)
    fresh = state_values(learner, batch, range(7))
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
    learner = tiny_learner()
    learner.version = learner.oldest_usable_critic = 1
    rows = random_rows(2, scored=True, version=0) + random_rows(2, scored=True, version=1)
    assert batch_values(learner, RolloutBatch(rows))[1] == 0.5
    learner.oldest_usable_critic = 0
    assert batch_values(learner, RolloutBatch(rows))[1] == 0.0


def test_mini_batches_cover_every_row_once_per_epoch() -> None:
    parts = RolloutBatch(random_rows(10)).mini_batches(4, 2, np.random.default_rng(0))
    assert [len(part) for part in parts] == [4, 3, 3] * 2
    for epoch in (parts[:3], parts[3:]):
        assert sorted(row for part in epoch for row in part) == list(range(10))
    assert parts[:3] != parts[3:]


def test_group_estimator_leaves_the_critic_alone() -> None:
    learner = tiny_learner(algorithm=AlgorithmSettings(estimator="group"), trainer=trainer_settings(rate=0.05))
    before = [parameter.clone() for parameter in learner.critic.parameters()]
    result = update(learner, RolloutBatch(random_rows(ROWS)), StepTimer())
    assert all(torch.equal(one, other) for one, other in zip(before, learner.critic.parameters(), strict=True))
    assert "policy/loss" in result.metrics
    assert "value/loss" not in result.metrics


def test_training_repeatedly_on_the_same_rows_raises_the_positives_and_fits_the_returns() -> None:
    learner, batch = tiny_learner(trainer=trainer_settings(rate=5e-3)), RolloutBatch(random_rows(ROWS))
    runs = [update(learner, batch, StepTimer()) for _ in range(20)]
    assert runs[-1].metrics["value/loss"] < 0.5 * runs[0].metrics["value/loss"]
    positive = runs[0].signal.positive_mask
    assert runs[-1].log_probs[positive].mean() > runs[0].log_probs[positive].mean() + 0.1


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    learner = tiny_learner()
    with torch.no_grad():
        learner.critic.value_head.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="gradient norm"):
        update(learner, RolloutBatch(random_rows(4)), StepTimer())
