"""What may be varied about the critic: its own epochs and mini-batches, replay, a bounded head."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.trainer_cases import random_rows, tiny_config, tiny_critic, tiny_policy
from trainer.algorithm.objective import AdvantageBatch, compute_advantages_and_targets, count_denominators
from trainer.algorithm.options import Options
from trainer.learning.batch import Batch
from trainer.learning.critic_replay import CriticReplay
from trainer.learning.critic_steps import CriticSteps
from trainer.learning.forward import Packing, state_values
from trainer.learning.optimiser import Optimiser, OptimiserOptions
from trainer.learning.phase_times import Phases
from trainer.learning.update import Learner, UpdateOptions, row_batch, update
from trainer.ranks.parallel import Ranks
from vapo.model.critic import Critic, CriticError, bounded, load_critic
from vapo.settings import SettingsError, load_settings

ALONE = Ranks(0, 1, torch.device("cpu"))
ROWS = 12


def _learner(replay_steps: int = 0, rate: float = 1e-3) -> Learner:
    policy, critic = tiny_policy(), tiny_critic()
    options = OptimiserOptions(rate)
    return Learner(
        policy, Optimiser(policy, options), critic, Optimiser(critic, options), replay=CriticReplay(replay_steps)
    )


def _update(learner: Learner, options: UpdateOptions, seed: int = 0) -> None:
    update(learner, Batch(random_rows(ROWS, seed)), Options(), options, ALONE, np.random.default_rng(seed), Phases())


def test_the_critic_takes_as_many_steps_as_the_actor_unless_told_otherwise() -> None:
    learner = _learner()
    _update(learner, UpdateOptions(4, Packing(128), epochs=2))
    assert learner.policy_optimiser.steps_taken == learner.critic_optimiser.steps_taken == 6
    learner = _learner()
    _update(learner, UpdateOptions(6, Packing(128), critic_epochs=3, critic_mini_batch_rollouts=4))
    assert learner.policy_optimiser.steps_taken == 2
    assert learner.critic_optimiser.steps_taken == 9


def test_critic_options_do_not_touch_the_actor() -> None:
    """The same actor comes out, since the two share neither weights nor mini-batches."""
    states = []
    for extra in ({}, {"critic_epochs": 3}, {"critic_mini_batch_rollouts": 3}):
        learner = _learner(replay_steps=1)
        _update(learner, UpdateOptions(6, Packing(128), **extra))
        states.append(learner.policy.state_dict())
    for state in states[1:]:
        assert all(torch.equal(tensor, state[name]) for name, tensor in states[0].items())


def test_replay_holds_the_last_batches_with_the_targets_of_their_time() -> None:
    replay, made = CriticReplay(2), []
    for seed in range(4):
        batch = Batch(random_rows(3, seed))
        made.append((batch, _targets(batch, seed)))
    seen = [replay.extend(*part) for part in made]
    assert [len(batch) for batch, _ in seen] == [3, 6, 9, 9]
    rows, targets = seen[3]
    assert rows.rows == made[3][0].rows + made[2][0].rows + made[1][0].rows
    expected = torch.cat([made[number][1].targets for number in (3, 2, 1)])
    assert torch.equal(targets.targets, expected)
    assert torch.equal(targets.lengths, rows.lengths)


def test_replayed_rows_are_trained_on_and_their_values_not_read_again() -> None:
    learner = _learner(replay_steps=1)
    options = UpdateOptions(ROWS, Packing(128))
    _update(learner, options, seed=0)
    assert learner.critic_optimiser.steps_taken == 1
    before = state_values(learner.critic, Batch(random_rows(ROWS, 1)), range(ROWS), Packing(128), ALONE)
    batch = Batch(random_rows(ROWS, 1))
    result = update(learner, batch, Options(), options, ALONE, np.random.default_rng(1), Phases())
    assert learner.critic_optimiser.steps_taken == 3, "two mini-batches: new rows and kept ones"
    torch.testing.assert_close(result.values, before.before_tokens)
    assert len(result.advantages.lengths) == ROWS, "the actor sees the new rows alone"


@pytest.mark.parametrize("bounds", [None, (-1.0, 1.0)])
def test_a_replayed_step_does_not_depend_on_packing_or_order(bounds: tuple[float, float] | None) -> None:
    """Mini-batches of new and kept rows have global denominators like any other."""
    gradients = []
    for budget, flat, order in ((1, False, 1), (64, False, -1), (500, True, 1)):
        critic = tiny_critic().double()
        critic.value_bounds = torch.tensor(bounds) if bounds else None
        replay = CriticReplay(1)
        for seed in (0, 1):
            batch = Batch(random_rows(ROWS, seed))
            rows, targets = replay.extend(batch, _targets(batch, seed))
        step = CriticSteps(
            critic, Optimiser(critic, OptimiserOptions(1e-3)), rows, targets, Packing(budget, flat), ALONE
        )
        step.accumulate_gradient(list(range(2 * ROWS))[::order], count_denominators(targets))
        gradients.append(torch.cat([p.grad.flatten() for p in critic.parameters()]))
    assert float(gradients[0].norm()) > 0
    for other in gradients[1:]:
        assert torch.linalg.norm(other - gradients[0]) <= 1e-6 * torch.linalg.norm(gradients[0])


def test_each_step_averages_over_the_tokens_of_its_own_mini_batch() -> None:
    """At a rate of nearly 0: the logged loss is the mean of the two steps' token means."""
    critic, batch = tiny_critic(), Batch(random_rows(ROWS))
    targets = _targets(batch, 5)
    step = CriticSteps(critic, Optimiser(critic, OptimiserOptions(1e-12)), batch, targets, Packing(64), ALONE)
    values = state_values(critic, batch, range(ROWS), Packing(64), ALONE).before_tokens
    errors = (0.5 * (values - targets.targets).square()).split(batch.lengths.tolist())
    halves = [list(range(4)), list(range(4, ROWS))]
    for rows in halves:
        step.train(rows)
    means = [torch.cat([errors[row] for row in rows]).mean().item() for rows in halves]
    assert step.reduced_metrics()["value/loss"] == pytest.approx(sum(means) / 2, rel=1e-4)


def test_a_bounded_head_is_bpco_s_formula_and_stays_inside() -> None:
    scores = torch.tensor([-1e30, -1.0, 0.0, 1.0, 1e30])
    assert bounded(scores, -1.0, 1.0).tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1], abs=1e-6)
    assert bounded(scores, 0.0, 2.0).tolist() == pytest.approx([0, 0.5, 1, 1.5, 2], abs=1e-6)


def test_a_fresh_bounded_critic_says_the_middle_and_learns() -> None:
    torch.manual_seed(0)
    backbone = tiny_critic().model
    critic = Critic(backbone, (-1.0, 1.0))
    batch = Batch(random_rows(ROWS))
    values = state_values(critic, batch, range(ROWS), Packing(128), ALONE).before_tokens
    assert values.tolist() == [0.0] * batch.response_tokens
    targets = _targets(batch, 0)
    step = CriticSteps(critic, Optimiser(critic, OptimiserOptions(1e-2)), batch, targets, Packing(128), ALONE)
    for _ in range(30):
        step.train(range(ROWS))
    after = state_values(critic, batch, range(ROWS), Packing(128), ALONE).before_tokens
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


def _targets(batch: Batch, seed: int) -> AdvantageBatch:
    values = state_values(tiny_critic(seed=seed), batch, range(len(batch)), Packing(128), ALONE)
    return compute_advantages_and_targets(row_batch(batch, values), dataclasses.replace(Options(), lambda_critic=0.9))
