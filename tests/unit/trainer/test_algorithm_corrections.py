"""Off-policy corrections: anchors, weights, and what each is for."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tests.support.algorithm_cases import random_batch, random_log_probs
from trainer.algorithm.corrections import FUNCTIONS, TokenLogProbs, correct
from trainer.algorithm.objective import compute_advantages_and_targets, count_denominators, policy_objective
from trainer.algorithm.policy_loss import clipped_surrogate
from vapo.settings import AlgorithmSettings
from vapo.settings.corrections import CORRECTIONS, Bounds, resolve_bounds

BOUNDS = Bounds(0.5, 2.0)
RATIOS = [0.1, 0.5, 1.0, 1.9, 8.0]
TOKENS = TokenLogProbs(
    current=torch.tensor([0.2, 3.0, 1.0, 0.6, 1.9], dtype=torch.float64).log() - 3.0,
    proximal=torch.tensor(RATIOS, dtype=torch.float64).log() - 3.0,
    behaviour=torch.full((5,), -3.0, dtype=torch.float64),
    lengths=torch.tensor([2, 3]),
)
"""Two rows. proximal / behaviour: products 0.05 and 15.2, geometric means 0.224 and 2.477.
current / behaviour: 0.2, 3, 1, 0.6, 1.9."""


@pytest.mark.parametrize(
    ("name", "low", "high", "weights"),
    [
        ("none", 0.5, 2.0, [1.0] * 5),
        ("token_tis", 0.5, 2.0, [0.1, 0.5, 1.0, 1.9, 2.0]),
        ("sequence_mask", 0.5, 2.0, [0.0] * 5),
        ("sequence_mask", 0.04, 2.0, [0.05, 0.05, 0.0, 0.0, 0.0]),
        ("sequence_mask", 0.5, 16.0, [0.0, 0.0, 15.2, 15.2, 15.2]),
        ("geometric_mask", 0.5, 2.4, [0.0] * 5),
        ("geometric_mask", 0.5, 2.5, [0.0, 0.0, 1.0, 1.0, 1.0]),
        ("geometric_mask", 0.2, 2.0, [1.0, 1.0, 0.0, 0.0, 0.0]),
        ("icepop", 0.5 - 1e-9, 2.0, [0.0, 0.5, 1.0, 1.9, 0.0]),  # exp(log(.5)) may fall below .5
        ("decoupled", 0.5, 2.0, RATIOS),
        ("dis", 0.5, 2.0, [0.0, 0.0, 1.0, 0.6, 1.9]),
        ("cispo", 0.5, 2.0, [0.5, 2.0, 1.0, 0.6, 1.9]),
        ("dppo", 0.2, 0.2, [1.0] * 5),
    ],
)
def test_weights(name: str, low: float, high: float, weights: list[float]) -> None:
    assert correct(name, TOKENS, Bounds(low, high)).weights.tolist() == pytest.approx(weights)


def test_the_anchor_is_the_proximal_policy_where_that_is_needed_else_the_behaviour_policy() -> None:
    for name in CORRECTIONS:
        anchored_at = TOKENS.proximal if CORRECTIONS[name].needs_proximal else TOKENS.behaviour
        assert torch.equal(correct(name, TOKENS, BOUNDS).anchor, anchored_at)
    without = {name for name in CORRECTIONS if not CORRECTIONS[name].needs_proximal}
    assert without == {"none", "dis", "cispo", "dppo"}


@pytest.mark.parametrize("name", CORRECTIONS)
def test_on_policy_every_weight_is_exactly_one(name: str) -> None:
    same = TokenLogProbs(*[TOKENS.proximal] * 3, lengths=TOKENS.lengths)
    result = correct(name, same, resolve_bounds(name, None, None))
    assert torch.equal(result.anchor, TOKENS.proximal)
    assert torch.equal(result.weights, torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize("name", CORRECTIONS)
@pytest.mark.parametrize("dual_clip", [None, 3.0])
def test_on_policy_every_gradient_is_that_of_plain_clipped_ppo(name: str, dual_clip: float | None) -> None:
    plain = _gradient(AlgorithmSettings(correction="none", truncation="terminal"), [0.0] * 9)
    if dual_clip is None or CORRECTIONS[name].clipped:
        options = AlgorithmSettings(correction=name, truncation="terminal", dual_clip=dual_clip)
        assert torch.equal(_gradient(options, [0.0] * 9), plain)
    assert plain.abs().min() > 0


@pytest.mark.parametrize("name", ["sequence_mask", "geometric_mask", "icepop", "dis"])
@pytest.mark.parametrize("row", [0, 1])
def test_masked_tokens_have_no_gradient_and_change_no_other_token(name: str, row: int) -> None:
    """Rows of 4 and 5 tokens; one token of one row lies far outside the band."""
    shifts = [0.0] * 9
    shifts[2 if row == 0 else 7] = 3.0
    options = AlgorithmSettings(correction=name, truncation="terminal")
    plain, masked = _gradient(options, [0.0] * 9), _gradient(options, shifts)
    if name in ("icepop", "dis"):
        gone = torch.tensor(shifts) > 0
    else:
        gone = torch.arange(9) < 4 if row == 0 else torch.arange(9) >= 4
    assert torch.equal(masked[gone], torch.zeros(int(gone.sum()), dtype=torch.float64))
    assert torch.equal(masked[~gone], plain[~gone])


def _gradient(options: AlgorithmSettings, shifts: list[float]) -> torch.Tensor:
    """Gradient of two correct rows, 4 and 5 tokens, sampled ``shifts`` nats off the trainer's
    policy, which is also the current one."""
    source = random_batch(5, [4, 5])
    source = type(source)(**{**source.__dict__, "correct": torch.tensor([True, True])})
    batch = compute_advantages_and_targets(source, options)
    current = random_log_probs(5, 9)[0].requires_grad_()
    proximal = current.detach()
    behaviour = proximal - torch.tensor(shifts, dtype=torch.float64)
    policy_objective(current, behaviour, proximal, batch, count_denominators(batch), options).loss.backward()
    assert current.grad is not None
    return current.grad


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "gradient"),
    [
        (5.0, -1.0, -3.0, 0.0),
        (2.0, -1.0, -2.0, -2.0),
        (0.5, -1.0, -0.8, 0.0),
        (5.0, 1.0, 1.28, 0.0),
        (1.1, 1.0, 1.1, 1.1),
    ],
)
def test_dual_clip_bounds_the_objective_of_negative_advantages_alone(
    ratio: float, advantage: float, objective: float, gradient: float
) -> None:
    current = torch.tensor([math.log(ratio) - 3.0], dtype=torch.float64, requires_grad=True)
    anchor, advantages = torch.tensor([-3.0]), torch.tensor([advantage])
    result = clipped_surrogate(current, anchor, advantages, 0.2, 0.28, dual_clip=3.0)
    result.objective.sum().backward()
    assert result.objective.item() == pytest.approx(objective)
    assert current.grad.tolist() == pytest.approx([gradient])  # type: ignore[union-attr]
    assert bool(result.clipped_up) == (ratio == 5.0)


def test_cispo_keeps_the_gradient_of_tokens_that_ppo_would_clip() -> None:
    shifts = [math.log(4.0)] * 9
    ppo = _gradient(AlgorithmSettings(correction="none", truncation="terminal", positive_example_weight=0.0), shifts)
    options = AlgorithmSettings(correction="cispo", truncation="terminal", positive_example_weight=0.0)
    batch = compute_advantages_and_targets(random_batch(5, [4, 5]), options)
    assert torch.allclose(_gradient(options, shifts), -4.0 * batch.advantages / 9)
    assert torch.equal(ppo[batch.advantages > 0], torch.zeros_like(ppo[batch.advantages > 0]))


@pytest.mark.parametrize(
    ("probability", "sampled_at", "advantage", "kept"),
    [
        (0.71, 0.5, 1.0, False),
        (0.69, 0.5, 1.0, True),
        (0.71, 0.5, -1.0, True),
        (0.29, 0.5, -1.0, False),
        (0.31, 0.5, -1.0, True),
        (0.29, 0.5, 1.0, True),
        (0.01, 0.0001, 1.0, True),  # a hundred times likelier, and still rare
        (0.0001, 0.01, -1.0, True),
    ],
)
def test_dppo_masks_by_the_difference_of_probabilities_in_the_advantages_direction(
    probability: float, sampled_at: float, advantage: float, kept: bool
) -> None:
    """The gradient of prime-rl's default loss, keep_mask * A * r, without its KL term."""
    gradient = _one_token_gradient(probability, sampled_at, advantage)
    assert gradient == pytest.approx(-advantage * probability / sampled_at if kept else 0.0)


@pytest.mark.parametrize(("probability", "kept"), [(0.71, False), (0.69, True), (0.1, True)])
def test_dppo_holds_positive_examples_back_where_they_are_far_likelier(probability: float, kept: bool) -> None:
    gradient = _one_token_gradient(probability, 0.5, 0.0)
    assert gradient == pytest.approx(-0.1 if kept else 0.0)


def test_dppo_holds_positive_examples_back_by_the_upper_bound_alone() -> None:
    for low, high, kept in ((0.05, 0.2, True), (0.2, 0.05, False)):
        gradient = _one_token_gradient(0.6, 0.5, 0.0, low, high)
        assert gradient == pytest.approx(-0.1 if kept else 0.0)


def _one_token_gradient(
    probability: float, sampled_at: float, advantage: float, low: float | None = None, high: float | None = None
) -> float:
    """Of a row of one token; it is a positive example where the advantage is 0."""
    options = AlgorithmSettings(correction="dppo", truncation="terminal", correction_low=low, correction_high=high)
    source = random_batch(5, [1])
    source = type(source)(**{**source.__dict__, "correct": torch.tensor([advantage == 0.0])})
    batch = compute_advantages_and_targets(source, options)
    batch = replace(batch, advantages=torch.full_like(batch.advantages, advantage))
    current = torch.tensor([probability], dtype=torch.float64).log().requires_grad_()
    behaviour = torch.tensor([sampled_at], dtype=torch.float64).log()
    policy_objective(current, behaviour, None, batch, count_denominators(batch), options).loss.backward()
    assert current.grad is not None
    return current.grad.item()


@pytest.mark.parametrize("name", CORRECTIONS)
def test_extreme_ratios_stay_finite(name: str) -> None:
    extreme = TokenLogProbs(
        torch.tensor([0.0, -900.0]), torch.tensor([0.0, -900.0]), torch.tensor([-900.0, 0.0]), torch.tensor([1, 1])
    )
    assert torch.isfinite(correct(name, extreme, BOUNDS).weights).all()


def test_every_correction_of_the_settings_has_its_function() -> None:
    assert FUNCTIONS.keys() == CORRECTIONS.keys()


def test_a_dropped_token_leaves_policy_and_positive_loss_but_not_the_denominator() -> None:
    source = random_batch(1, [4])
    source = type(source)(**{**source.__dict__, "correct": torch.tensor([True])})
    options = AlgorithmSettings(correction="icepop", truncation="terminal")
    batch = compute_advantages_and_targets(source, options)
    proximal = random_log_probs(1, 4)[0]
    behaviour = proximal.clone()
    behaviour[2] -= math.log(10)
    current = proximal.clone().requires_grad_()
    result = policy_objective(current, behaviour, proximal, batch, count_denominators(batch), options)
    result.loss.backward()
    expected = -(batch.advantages + 0.1) / 4
    expected[2] = 0.0
    assert torch.allclose(current.grad, expected)  # type: ignore[arg-type]
    assert result.metrics["policy/correction_dropped_fraction"].item() == 1


def test_positive_examples_can_stay_uncorrected() -> None:
    source = random_batch(1, [4])
    source = type(source)(**{**source.__dict__, "correct": torch.tensor([True])})
    options = AlgorithmSettings(correction="icepop", truncation="terminal", correct_positive_examples=False)
    batch = compute_advantages_and_targets(source, options)
    proximal = random_log_probs(1, 4)[0]
    current = proximal.clone().requires_grad_()
    policy_objective(
        current, proximal - math.log(10), proximal, batch, count_denominators(batch), options
    ).loss.backward()
    assert current.grad.tolist() == pytest.approx([-0.1 / 4] * 4)  # type: ignore[union-attr]


def test_missing_proximal_log_probs_mean_the_current_ones() -> None:
    options = AlgorithmSettings(correction="decoupled", truncation="terminal")
    batch = compute_advantages_and_targets(random_batch(2, [6, 3]), options)
    current, behaviour, _ = random_log_probs(2, 9)
    denominators = count_denominators(batch)
    implied = policy_objective(current, behaviour, None, batch, denominators, options)
    given = policy_objective(current, behaviour, current, batch, denominators, options)
    assert implied.loss.item() == given.loss.item()


def test_no_correction_clips_against_the_behaviour_policy() -> None:
    options = AlgorithmSettings(correction="none", truncation="terminal", positive_example_weight=0.0)
    batch = compute_advantages_and_targets(random_batch(3, [4]), options)
    current = random_log_probs(3, 4)[0].requires_grad_()
    advantages = torch.ones_like(batch.advantages)
    batch = type(batch)(**{**batch.__dict__, "advantages": advantages})
    result = policy_objective(
        current, current.detach() - math.log(1.5), current.detach(), batch, count_denominators(batch), options
    )
    result.loss.backward()
    assert result.loss.item() == pytest.approx(-1.28)
    assert current.grad.tolist() == [0.0] * 4  # type: ignore[union-attr]
    assert result.metrics["policy/clip_fraction_up"].item() == 4
