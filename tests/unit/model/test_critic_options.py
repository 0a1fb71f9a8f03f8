"""What may be varied about the critic: its own epochs and mini-batches, replay, a bounded head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.trainer_cases import random_rows, tiny_config, tiny_critic, tiny_learner, trainer_settings
from trainer.algorithm.objective import LearningSignal, compute_advantages_and_targets, count_denominators
from trainer.learning.batch import RolloutBatch
from trainer.learning.critic_replay import CriticReplay
from trainer.learning.critic_steps import critic_steps
from trainer.learning.learner import Learner
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.learning.values import scored_rows, state_values
from vapo.model.critic import Critic, CriticError, bounded, load_critic
from vapo.settings import AlgorithmSettings, SettingsError, load_settings

ROWS = 12


def _trained(**settings: Any) -> Learner:
    """A learner after one update."""
    learner = tiny_learner(trainer=trainer_settings(**settings))
    update(learner, RolloutBatch(random_rows(ROWS)), StepTimer())
    return learner


def test_the_critic_takes_as_many_steps_as_the_actor_unless_told_otherwise() -> None:
    learner = _trained(mini_batch_rollouts=4, epochs=2)
    assert learner.policy_optimiser.steps_taken == learner.critic_optimiser.steps_taken == 6
    learner = _trained(mini_batch_rollouts=6, critic_epochs=3, critic_mini_batch_rollouts=4)
    assert learner.policy_optimiser.steps_taken == 2
    assert learner.critic_optimiser.steps_taken == 9


def test_critic_options_do_not_touch_the_actor() -> None:
    """The same actor comes out, since the two share neither weights nor mini-batches."""
    states = []
    for extra in ({}, {"critic_epochs": 3}, {"critic_mini_batch_rollouts": 3}):
        learner = _trained(mini_batch_rollouts=6, critic_replay_steps=1, **extra)
        states.append(learner.policy.state_dict())
    for state in states[1:]:
        assert all(torch.equal(tensor, state[name]) for name, tensor in states[0].items())


def test_replay_holds_the_last_batches_with_the_targets_of_their_time() -> None:
    replay, made = CriticReplay(2), []
    for seed in range(4):
        batch = RolloutBatch(random_rows(3, seed))
        made.append((batch, _targets(batch, seed)))
    seen = [replay.extend(*part) for part in made]
    assert [len(batch) for batch, _ in seen] == [3, 6, 9, 9]
    rows, targets = seen[3]
    assert rows.rows == made[3][0].rows + made[2][0].rows + made[1][0].rows
    expected = torch.cat([made[number][1].targets for number in (3, 2, 1)])
    assert torch.equal(targets.targets, expected)
    assert torch.equal(targets.lengths, rows.lengths)


def test_replayed_rows_are_trained_on_and_their_values_not_read_again() -> None:
    learner = _trained(mini_batch_rollouts=ROWS, critic_replay_steps=1)
    assert learner.critic_optimiser.steps_taken == 1
    batch = RolloutBatch(random_rows(ROWS, 1))
    before = state_values(learner, batch, range(ROWS))
    result = update(learner, batch, StepTimer())
    assert learner.critic_optimiser.steps_taken == 3, "two mini-batches: new rows and kept ones"
    torch.testing.assert_close(result.values, before.before_tokens)
    assert len(result.signal.lengths) == ROWS, "the actor sees the new rows alone"


@pytest.mark.parametrize("bounds", [None, (-1.0, 1.0)])
def test_a_replayed_step_does_not_depend_on_packing_or_order(bounds: tuple[float, float] | None) -> None:
    """Mini-batches of new and kept rows have global denominators like any other."""
    gradients = []
    for budget, flat, order in ((1, False, 1), (64, False, -1), (500, True, 1)):
        critic = tiny_critic().double()
        critic.value_bounds = torch.tensor(bounds) if bounds else None
        replay = CriticReplay(1)
        for seed in (0, 1):
            batch = RolloutBatch(random_rows(ROWS, seed))
            rows, targets = replay.extend(batch, _targets(batch, seed))
        cut = trainer_settings(token_budget=budget, attention="flash_attention_2" if flat else "sdpa")
        step = critic_steps(tiny_learner(critic=critic, trainer=cut), rows, targets)
        step.accumulate_gradient(list(range(2 * ROWS))[::order], count_denominators(targets))
        gradients.append(torch.cat([p.grad.flatten() for p in critic.parameters()]))
    assert float(gradients[0].norm()) > 0
    for other in gradients[1:]:
        assert torch.linalg.norm(other - gradients[0]) <= 1e-6 * torch.linalg.norm(gradients[0])


def test_each_step_averages_over_the_tokens_of_its_own_mini_batch() -> None:
    """At a rate of nearly 0: the logged loss is the mean of the two steps' token means."""
    learner, batch = tiny_learner(trainer=trainer_settings(rate=1e-12)), RolloutBatch(random_rows(ROWS))
    targets = _targets(batch, 5)
    step = critic_steps(learner, batch, targets)
    values = state_values(learner, batch, range(ROWS)).before_tokens
    errors = (0.5 * (values - targets.targets).square()).split(batch.lengths.tolist())
    halves = [list(range(4)), list(range(4, ROWS))]
    for rows in halves:
        step.train_on(rows)
    means = [torch.cat([errors[row] for row in rows]).mean().item() for rows in halves]
    assert step.reduced_metrics()["value/loss"] == pytest.approx(sum(means) / 2, rel=1e-4)


def test_a_bounded_head_is_bpco_s_formula_and_stays_inside() -> None:
    scores = torch.tensor([-1e30, -1.0, 0.0, 1.0, 1e30])
    assert bounded(scores, -1.0, 1.0).tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1], abs=1e-6)
    assert bounded(scores, 0.0, 2.0).tolist() == pytest.approx([0, 0.5, 1, 1.5, 2], abs=1e-6)


def test_a_fresh_bounded_critic_says_the_middle_and_learns() -> None:
    torch.manual_seed(0)
    backbone = tiny_critic().model
    learner = tiny_learner(critic=Critic(backbone, (-1.0, 1.0)), trainer=trainer_settings(rate=1e-2))
    batch = RolloutBatch(random_rows(ROWS))
    values = state_values(learner, batch, range(ROWS)).before_tokens
    assert values.tolist() == [0.0] * batch.response_tokens
    targets = _targets(batch, 0)
    step = critic_steps(learner, batch, targets)
    for _ in range(30):
        step.train_on(range(ROWS))
    after = state_values(learner, batch, range(ROWS)).before_tokens
    assert after.abs().max() <= 1.0
    assert (after - targets.targets).abs().mean() < 0.5


def test_weights_are_only_read_with_the_form_of_head_they_were_trained_with(tmp_path: Path) -> None:
    tiny_config().save_pretrained(tmp_path)
    linear = tiny_critic().state_dict()
    bounds_of_their_own = {**linear, "value_bounds": torch.tensor([-2.0, 1.0])}
    bounded_critic = load_critic(tmp_path, bounds_of_their_own, bounds=(-1.0, 1.0))
    assert bounded_critic.state_dict()["value_bounds"].tolist() == [-2.0, 1.0]
    assert "value_bounds" not in load_critic(tmp_path, linear).state_dict()
    for weights, bounds in ((linear, (-1.0, 1.0)), (bounds_of_their_own, None)):
        with pytest.raises(CriticError, match="value_bounds"):
            load_critic(tmp_path, weights, bounds=bounds)


def test_bounds_that_cannot_hold_the_rewards_are_refused() -> None:
    assert load_settings(assignments=["model.value_bounds=[-1, 1]"]).model.value_bounds == (-1, 1)
    for wrong in (
        ["model.value_bounds=[0, 1]"],
        ["model.value_bounds=[1, -1]"],
        ["model.value_bounds=[-1, 1]", "algorithm.truncation=soft_punishment"],
        ["model.value_bounds=[-1, 1]", "verifier.format_reward=0.5"],
    ):
        with pytest.raises(SettingsError, match="value_bounds"):
            load_settings(assignments=wrong)


def _targets(batch: RolloutBatch, seed: int) -> LearningSignal:
    values = state_values(tiny_learner(critic=tiny_critic(seed=seed)), batch, range(len(batch)))
    return compute_advantages_and_targets(scored_rows(batch, values), AlgorithmSettings(lambda_critic=0.9))
