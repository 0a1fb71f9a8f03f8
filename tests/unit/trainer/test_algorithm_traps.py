"""Each known way to get VAPO wrong, with a figure that comes out differently if it is done."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tests.support import reference_vapo as reference
from tests.support.algorithm_cases import random_batch, random_log_probs, rows_of, scored_rows
from trainer.algorithm.corrections import TokenLogProbs, correct
from trainer.algorithm.objective import compute_advantages_and_targets, count_denominators, policy_objective
from trainer.algorithm.policy_loss import clipped_surrogate, sample_level_loss, token_level_loss
from trainer.algorithm.positive_example_loss import positive_example_loss
from trainer.algorithm.value_loss import value_loss
from vapo.settings import AlgorithmSettings
from vapo.settings.corrections import CORRECTIONS, Bounds
from vapo.settings.truncation import Truncation

CONSTANT = AlgorithmSettings(length_adaptive_lambda=False, lambda_policy=0.9)


def test_lambda_comes_from_each_rows_own_length_not_from_the_width() -> None:
    rows = [[0.0] * 40, [0.0] * 400]
    result = compute_advantages_and_targets(scored_rows(rows, [1.0, 1.0]), AlgorithmSettings())
    short, long = rows_of(result.advantages, result.lengths)
    assert short[-2] == pytest.approx(0.5)  # 0.95 if the padded width of 400 were used
    assert long[-2] == pytest.approx(0.95)


def test_values_are_before_the_token() -> None:
    result = compute_advantages_and_targets(
        scored_rows([[0.25, 0.75]], [1.0]), AlgorithmSettings(length_adaptive_lambda=False, lambda_policy=0.0)
    )
    assert result.advantages.tolist() == [0.5, 0.25]  # V_1 - V_0, then R - V_1


def test_no_value_after_the_end_enters() -> None:
    rows = [[0.5] * 10, [0.8] * 3]
    batch = scored_rows(rows, [1.0, 1.0], bootstrap=[0.8, 0.8])
    result = compute_advantages_and_targets(batch, CONSTANT)
    last = rows_of(result.advantages, result.lengths)[0][-1]
    assert last == pytest.approx(0.5)  # 0.58 when 0.8 leaks in through lambda, 1.3 in full


@pytest.mark.parametrize("truncation", list(Truncation))
def test_poison_after_the_end_of_finished_rows_does_no_harm(truncation: Truncation) -> None:
    options = AlgorithmSettings(truncation=truncation, alpha=0.3, overlong_buffer_tokens=4)
    batch = scored_rows(
        [[0.5] * 10, [0.1] * 3, [0.2] * 7],
        [1.0, -1.0, -1.0],
        truncated=[False, False, True],
        bootstrap=[math.nan, math.inf, 0.3],
    )
    result = compute_advantages_and_targets(batch, options, max_new_tokens=12)
    assert torch.isfinite(result.advantages).all()
    assert torch.isfinite(result.targets).all()


def test_targets_are_not_policy_advantage_plus_value() -> None:
    batch = random_batch(1, [30, 55, 4])
    result = compute_advantages_and_targets(batch, AlgorithmSettings())
    assert torch.equal(result.targets, batch.rewards.repeat_interleave(batch.lengths))
    assert batch.values is not None
    assert not torch.allclose(result.targets, result.advantages + batch.values)


def test_targets_and_advantages_survive_a_later_change_of_the_critic() -> None:
    batch = random_batch(2, [30, 5])
    assert batch.values is not None
    result = compute_advantages_and_targets(batch, AlgorithmSettings(lambda_critic=0.9))
    before = (result.advantages.clone(), result.targets.clone())
    batch.values.zero_()
    assert torch.equal(result.advantages, before[0])
    assert torch.equal(result.targets, before[1])


def test_no_gradient_reaches_the_critic_through_the_advantages() -> None:
    batch = random_batch(3, [6, 9])
    assert batch.values is not None
    batch.values.requires_grad_()
    result = compute_advantages_and_targets(batch, AlgorithmSettings(lambda_critic=0.9))
    assert not result.advantages.requires_grad
    assert not result.targets.requires_grad


def test_positive_loss_is_one_mean_over_all_tokens() -> None:
    parts = [torch.full((10,), -2.0), torch.full((90,), -1.0)]
    shares = [positive_example_loss(part, torch.ones_like(part), 100.0) for part in parts]
    assert sum(shares).item() == pytest.approx(1.1)  # 3.0 for summed means, 1.5 for their mean


def test_policy_loss_is_one_mean_over_all_tokens() -> None:
    parts = [torch.full((10,), 2.0), torch.full((90,), 1.0)]
    shares = [token_level_loss(part, torch.ones_like(part), 100.0) for part in parts]
    assert sum(shares).item() == pytest.approx(-1.1)  # -3.0 for summed means, -1.5 for their mean


def test_value_loss_is_one_mean_over_all_tokens() -> None:
    shares = [
        value_loss(torch.full((n,), error), torch.zeros(n), torch.ones(n, dtype=torch.bool), 100.0)
        for n, error in ((10, 2.0), (90, 1.0))
    ]
    assert sum(shares).item() == pytest.approx(0.5 * (10 * 4 + 90) / 100)


@pytest.mark.parametrize("length", [2, 7, 20])
def test_short_rows_take_one_step_advantages(length: int) -> None:
    """Eq 5 as it stands has lambda = -9 at 2 tokens and -1.9 at 7."""
    values = [0.1 * t for t in range(length)]
    result = compute_advantages_and_targets(scored_rows([values], [1.0]), AlgorithmSettings())
    expected = reference.advantages(values, 1.0, 0.0)
    assert result.advantages.tolist() == pytest.approx(expected, abs=1e-12)


def test_nothing_is_whitened_by_default() -> None:
    batch = random_batch(4, [50, 30])
    plain = compute_advantages_and_targets(batch, AlgorithmSettings())
    white = compute_advantages_and_targets(batch, AlgorithmSettings(whiten_advantages=True))
    for index, row in enumerate(rows_of(plain.advantages, plain.lengths)):
        values = rows_of(batch.values, batch.lengths)[index]  # type: ignore[arg-type]
        lam = reference.length_adaptive_lambda(len(row), 0.05)
        assert row == pytest.approx(reference.advantages(values, batch.rewards[index].item(), lam), abs=1e-12)
    assert not torch.allclose(plain.advantages, white.advantages)


def test_there_is_no_discount() -> None:
    result = compute_advantages_and_targets(scored_rows([[0.3] * 3000], [1.0]), AlgorithmSettings())
    assert result.targets[0].item() == 1.0
    assert result.advantages[-2].item() == pytest.approx(  # a discount shrinks what is to come
        0.3 / 150 + (1 - 1 / 150) * 1.0 - 0.3, abs=1e-12
    )


def test_correct_is_the_verdict_and_not_the_reward() -> None:
    batch = scored_rows([[0.0] * 3, [0.0] * 2], [-0.4, 0.5], correct=[True, False])
    result = compute_advantages_and_targets(batch, AlgorithmSettings())
    assert result.positive_mask.tolist() == [True] * 3 + [False] * 2


def test_rewards_are_refused_as_verdicts() -> None:
    batch = scored_rows([[0.0]], [1.0])
    with pytest.raises(TypeError, match=r"correct is torch\.float32"):
        replace(batch, correct=torch.tensor([1.0]))


def test_the_value_loss_pulls_however_far_the_value_has_gone() -> None:
    values = torch.tensor([-5.0, 0.9], requires_grad=True)
    value_loss(values, torch.ones(2), torch.ones(2, dtype=torch.bool), 2.0).backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([-3.0, -0.05])


def test_low_precision_values_give_float32_advantages() -> None:
    batch = scored_rows([[0.25] * 30], [1.0], dtype=torch.bfloat16)
    result = compute_advantages_and_targets(batch, AlgorithmSettings())
    assert result.advantages.dtype == torch.float32
    assert result.targets.dtype == torch.float32


def test_masks_and_weights_carry_no_gradient() -> None:
    """With r = 1 the gradient is -(w A) / N; a gradient through w would add to it."""
    batch = compute_advantages_and_targets(random_batch(5, [5]), AlgorithmSettings(truncation="terminal"))
    current, behaviour, _ = random_log_probs(5, 5)
    current.requires_grad_()
    options = AlgorithmSettings(truncation="terminal", positive_example_weight=0.0, correction="decoupled")
    policy_objective(current, behaviour, None, batch, count_denominators(batch), options).loss.backward()
    weights = (current.detach() - behaviour).exp()
    assert torch.allclose(current.grad, -weights * batch.advantages / 5)  # type: ignore[arg-type]


def test_every_loss_takes_all_but_the_current_output_as_constant() -> None:
    current, anchor, advantages, weights = (torch.rand(4).requires_grad_() for _ in range(4))
    surrogate = clipped_surrogate(current, anchor, advantages, 0.2, 0.28)
    losses = [
        token_level_loss(surrogate.objective, weights, 4.0),
        sample_level_loss(surrogate.objective, weights, torch.full((4,), 4), 1.0),
        positive_example_loss(current, weights, 4.0),
        value_loss(current, advantages, weights, 4.0),
    ]
    torch.stack(losses).sum().backward()
    assert current.grad is not None
    assert anchor.grad is None
    assert advantages.grad is None
    assert weights.grad is None


@pytest.mark.parametrize("name", CORRECTIONS)
def test_corrections_are_constants(name: str) -> None:
    current, proximal, behaviour = (torch.rand(4).requires_grad_() for _ in range(3))
    tokens = TokenLogProbs(current, proximal, behaviour, torch.tensor([1, 3]))
    result = correct(name, tokens, Bounds(0.5, 2.0))
    assert not result.weights.requires_grad
