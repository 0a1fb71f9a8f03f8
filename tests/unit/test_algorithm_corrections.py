"""Off-policy corrections: anchors, weights, and what each is for."""

from __future__ import annotations

import math

import pytest
import torch

from tests.algorithm_cases import random_batch, random_log_probs
from trainer.algorithm.corrections import (
    Bounds,
    TokenLogProbs,
    correct,
    correction_names,
    needs_proximal_log_probs,
)
from trainer.algorithm.options import Options
from trainer.algorithm.vapo import (
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
)

BOUNDS = Bounds(0.5, 2.0)
RATIOS = [0.1, 0.5, 1.0, 1.9, 8.0]
TOKENS = TokenLogProbs(
    current=torch.full((5,), -1.3, dtype=torch.float64),
    proximal=torch.tensor(RATIOS, dtype=torch.float64).log() - 3.0,
    behaviour=torch.full((5,), -3.0, dtype=torch.float64),
)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("none", [1.0] * 5),
        ("token_tis", [0.1, 0.5, 1.0, 1.9, 2.0]),
        ("icepop", [0.0, 0.5, 1.0, 1.9, 0.0]),
        ("decoupled", RATIOS),
    ],
)
def test_weights(name: str, weights: list[float]) -> None:
    low = 0.5 - 1e-9  # exp(log(.5)) may fall a hair below .5
    assert correct(name, TOKENS, Bounds(low, 2.0)).weights.tolist() == pytest.approx(weights)


def test_only_no_correction_is_anchored_at_the_behaviour_policy() -> None:
    for name in correction_names():
        anchored_at = TOKENS.proximal if needs_proximal_log_probs(name) else TOKENS.behaviour
        assert torch.equal(correct(name, TOKENS, BOUNDS).anchor, anchored_at)
    assert [name for name in correction_names() if not needs_proximal_log_probs(name)] == ["none"]


@pytest.mark.parametrize("name", correction_names())
def test_on_policy_every_correction_is_the_identity(name: str) -> None:
    same = TokenLogProbs(TOKENS.proximal, TOKENS.proximal, TOKENS.proximal)
    result = correct(name, same, BOUNDS)
    assert torch.equal(result.anchor, TOKENS.proximal)
    assert torch.equal(result.weights, torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize("name", correction_names())
def test_extreme_ratios_stay_finite(name: str) -> None:
    extreme = TokenLogProbs(torch.tensor([0.0, -900.0]), torch.tensor([0.0, -900.0]),
                            torch.tensor([-900.0, 0.0]))
    assert torch.isfinite(correct(name, extreme, BOUNDS).weights).all()


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'vtrace' is unknown; use one of none, token_tis"):
        correct("vtrace", TOKENS, BOUNDS)


def test_a_dropped_token_leaves_policy_and_positive_loss_but_not_the_denominator() -> None:
    source = random_batch(1, [4])
    source = type(source)(**{**source.__dict__, "correct": torch.tensor([True])})
    options = Options(correction="icepop", truncation="terminal")
    batch = compute_advantages_and_targets(source, options)
    proximal = random_log_probs(1, 4)[0]
    behaviour = proximal.clone()
    behaviour[2] -= math.log(10)
    current = proximal.clone().requires_grad_()
    result = policy_objective(current, behaviour, proximal, batch, count_denominators(batch),
                              options)
    result.loss.backward()
    expected = -(batch.advantages + 0.1) / 4
    expected[2] = 0.0
    assert torch.allclose(current.grad, expected)  # type: ignore[arg-type]
    assert result.metrics["policy/correction_dropped_fraction"].item() == 1


def test_positive_examples_can_stay_uncorrected() -> None:
    source = random_batch(1, [4])
    source = type(source)(**{**source.__dict__, "correct": torch.tensor([True])})
    options = Options(correction="icepop", truncation="terminal", correct_positive_examples=False)
    batch = compute_advantages_and_targets(source, options)
    proximal = random_log_probs(1, 4)[0]
    current = proximal.clone().requires_grad_()
    policy_objective(current, proximal - math.log(10), proximal, batch,
                     count_denominators(batch), options).loss.backward()
    assert current.grad.tolist() == pytest.approx([-0.1 / 4] * 4)  # type: ignore[union-attr]


def test_missing_proximal_log_probs_mean_the_current_ones() -> None:
    options = Options(correction="decoupled", truncation="terminal")
    batch = compute_advantages_and_targets(random_batch(2, [6, 3]), options)
    current, behaviour, _ = random_log_probs(2, 9)
    denominators = count_denominators(batch)
    implied = policy_objective(current, behaviour, None, batch, denominators, options)
    given = policy_objective(current, behaviour, current, batch, denominators, options)
    assert implied.loss.item() == given.loss.item()


def test_no_correction_clips_against_the_behaviour_policy() -> None:
    options = Options(correction="none", truncation="terminal", positive_example_weight=0.0)
    batch = compute_advantages_and_targets(random_batch(3, [4]), options)
    current = random_log_probs(3, 4)[0].requires_grad_()
    advantages = torch.ones_like(batch.advantages)
    batch = type(batch)(**{**batch.__dict__, "advantages": advantages})
    result = policy_objective(current, current.detach() - math.log(1.5), current.detach(), batch,
                              count_denominators(batch), options)
    result.loss.backward()
    assert result.loss.item() == pytest.approx(-1.28)
    assert current.grad.tolist() == [0.0] * 4  # type: ignore[union-attr]
    assert result.metrics["policy/clip_fraction_up"].item() == 4
