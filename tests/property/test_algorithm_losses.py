"""Losses and gradients against the slow reference, and whatever the split into micro-batches."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support import reference_vapo as reference
from tests.support.algorithm_cases import random_batch, random_log_probs, rows_of
from trainer.algorithm.denominators import Denominators, add_denominators
from trainer.algorithm.metrics import add_metrics, reduce_metrics
from trainer.algorithm.objective import (
    LearningSignal,
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
    value_objective,
)
from trainer.algorithm.ragged import row_token_index
from vapo.settings import AlgorithmSettings, corrections
from vapo.settings.truncation import Truncation

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=6)
SEEDS = st.integers(0, 10_000)
BANDED = {"sequence_mask", "geometric_mask", "icepop", "dis", "cispo"}.__contains__
CORRECTIONS = st.sampled_from(sorted(corrections.CORRECTIONS)).flatmap(
    lambda name: st.fixed_dictionaries(
        {
            "correction": st.just(name),
            "dual_clip": st.sampled_from([None] if name in ("dis", "cispo") else [None, 1.2, 3.0]),
            **(
                {"correction_low": st.sampled_from([None, 0.8]), "correction_high": st.sampled_from([None, 1.3])}
                if BANDED(name)
                else {}
            ),
            **(
                {"correction_low": st.sampled_from([None, 0.05]), "correction_high": st.sampled_from([None, 0.1])}
                if name == "dppo"
                else {}
            ),
        }
    )
)
LIMIT = 25
OPTIONS = st.builds(
    lambda correction, **others: AlgorithmSettings(**correction, **others),
    correction=CORRECTIONS,
    alpha=st.just(0.3),
    lambda_critic=st.sampled_from([0.9, 1.0]),
    token_level_loss=st.booleans(),
    positive_example_weight=st.sampled_from([0.0, 0.1]),
    truncation=st.sampled_from(list(Truncation)),
    correct_positive_examples=st.booleans(),
    entropy_weight=st.sampled_from([0.0, 0.01]),
    overlong_buffer_tokens=st.just(10),
)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, SEEDS, OPTIONS)
def test_policy_loss_and_gradient_agree_with_the_reference(
    lengths: list[int], seed: int, options: AlgorithmSettings
) -> None:
    batch = compute_advantages_and_targets(random_batch(seed, lengths), options, LIMIT)
    current, behaviour, proximal = random_log_probs(seed, sum(lengths))
    current.requires_grad_()
    entropies = torch.full_like(behaviour, 0.7)
    result = policy_objective(current, behaviour, proximal, batch, count_denominators(batch), options, entropies)
    result.loss.backward()
    rows = _reference_rows(batch, [current.detach(), behaviour, proximal], options)
    mu = options.positive_example_weight
    clip = _reference_clip(options)
    clipped = reference.policy_loss(rows, clip, options.token_level_loss)
    imitation = reference.positive_example_loss(rows, options.correct_positive_examples)
    bonus = 0.7 * options.entropy_weight if any(row.in_policy for row in rows) else 0.0
    assert result.loss.item() == pytest.approx(clipped + mu * imitation - bonus, abs=1e-12)
    expected = reference.policy_gradient(rows, clip, options.token_level_loss, mu, options.correct_positive_examples)
    assert current.grad is not None
    assert current.grad.tolist() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(LENGTHS, SEEDS, OPTIONS, st.data())
def test_the_split_into_micro_batches_and_ranks_changes_nothing(
    lengths: list[int], seed: int, options: AlgorithmSettings, data: st.DataObject
) -> None:
    batch = compute_advantages_and_targets(random_batch(seed, lengths), options, LIMIT)
    log_probs = random_log_probs(seed, sum(lengths))
    order = data.draw(st.permutations(range(len(lengths))))
    cuts = data.draw(st.lists(st.integers(0, len(lengths)), max_size=3))
    edges = sorted({0, len(lengths), *cuts})
    parts = [torch.tensor(order[a:b]) for a, b in pairwise(edges)]
    counted = [count_denominators(batch.select_rows(rows)) for rows in parts]
    denominators = add_denominators(counted)
    assert denominators == count_denominators(batch)
    whole = _step(batch, log_probs, [torch.arange(len(lengths))], denominators, options)
    split = _step(batch, log_probs, parts, denominators, options)
    for one, other in zip(whole[:3], split[:3], strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-14)
    assert split[3] == pytest.approx(whole[3], rel=1e-9, abs=1e-12)


def test_positives_weigh_mu_times_all_over_positive_tokens_at_ratio_one() -> None:
    """The positive-example loss is an extra advantage of mu N_all / N_pos on correct rows."""
    source = random_batch(7, [10, 30])
    source = type(source)(**{**source.__dict__, "correct": torch.tensor([True, False])})
    options = AlgorithmSettings(truncation="terminal", correction="none")
    batch = compute_advantages_and_targets(source, options)
    current = random_log_probs(7, 40)[0].requires_grad_()
    policy_objective(current, current.detach(), None, batch, count_denominators(batch), options).loss.backward()
    bonus = torch.cat([torch.full((10,), 0.1 * 40 / 10), torch.zeros(30)])
    assert torch.allclose(current.grad, -(batch.advantages + bonus) / 40)  # type: ignore[arg-type]


def _step(
    batch: LearningSignal,
    log_probs: list[Tensor],
    parts: list[Tensor],
    denominators: Denominators,
    options: AlgorithmSettings,
) -> tuple[Tensor, Tensor, Tensor, dict[str, float]]:
    """Losses, gradients and metrics of one optimiser step taken part by part."""
    current = log_probs[0].clone().requires_grad_()
    values = log_probs[1].clone().requires_grad_()
    losses, metrics = [], []
    for rows in parts:
        index = row_token_index(batch.lengths, rows)
        part = batch.select_rows(rows)
        entropy = -current[index] * current[index].exp()
        policy = policy_objective(
            current[index], log_probs[1][index], log_probs[2][index], part, denominators, options, entropy
        )
        value = value_objective(values[index], part, denominators)
        (policy.loss + value.loss).backward()
        losses.append(torch.stack([policy.loss, value.loss]).detach())
        metrics += [policy.metrics, value.metrics]
    assert current.grad is not None
    assert values.grad is not None
    reduced = reduce_metrics(add_metrics(metrics), denominators)
    return torch.stack(losses).sum(0), current.grad, values.grad, reduced


def _reference_clip(options: AlgorithmSettings) -> reference.Clip:
    if options.correction == "dppo":
        bounds = options.correction_bounds
        return reference.Clip(bounds.low, bounds.high, options.dual_clip, probability=True)
    return reference.Clip(
        options.clip_low, options.clip_high, options.dual_clip, score=options.correction in ("dis", "cispo")
    )


def _reference_rows(
    batch: LearningSignal, log_probs: list[Tensor], options: AlgorithmSettings
) -> list[reference.RowTerms]:
    columns = [
        rows_of(flat, batch.lengths) for flat in (*log_probs, batch.advantages, batch.positive_mask, batch.policy_mask)
    ]
    bounds = options.correction_bounds
    rows = []
    for current, behaviour, proximal, advantages, positive, used in zip(*columns, strict=True):
        anchor, weights = reference.correction(
            options.correction, current, proximal, behaviour, bounds.low, bounds.high
        )
        imitation = None
        if options.correction == "dppo":
            imitation = reference.dppo_imitation_weights(current, behaviour, bounds.high)
        rows.append(
            reference.RowTerms(
                current, anchor, advantages, weights, correct=positive[0], in_policy=used[0], positive_weights=imitation
            )
        )
    return rows
