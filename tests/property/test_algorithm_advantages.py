"""Vectorised advantages against the slow reference, over ragged batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import reference_vapo as reference
from tests.support.algorithm_cases import random_batch, rows_of, scored_rows
from trainer.algorithm.advantages import decoupled_gae
from trainer.algorithm.objective import compute_advantages_and_targets
from vapo.settings import AlgorithmSettings
from vapo.settings.truncation import Truncation

LENGTHS = st.lists(st.integers(1, 75), min_size=1, max_size=5)
SEEDS = st.integers(0, 10_000)


@settings(max_examples=60, deadline=None)
@given(
    LENGTHS,
    SEEDS,
    st.sampled_from([0.02, 0.05, 0.5]),
    st.sampled_from([0.0, 0.7, 0.95, 1.0]),
    st.sampled_from(list(Truncation)),
)
def test_agrees_with_the_reference(
    lengths: list[int], seed: int, alpha: float, lambda_critic: float, truncation: Truncation
) -> None:
    batch = random_batch(seed, lengths)
    options = AlgorithmSettings(
        alpha=alpha, lambda_critic=lambda_critic, truncation=truncation, overlong_buffer_tokens=30
    )
    result = compute_advantages_and_targets(batch, options, max_new_tokens=60)
    assert batch.values is not None
    assert batch.bootstrap_values is not None
    got_advantages = rows_of(result.advantages, batch.lengths)
    got_targets = rows_of(result.targets, batch.lengths)
    for row, values in enumerate(rows_of(batch.values, batch.lengths)):
        reward, final = batch.rewards[row].item(), 0.0
        if truncation in (Truncation.SOFT_PUNISHMENT, Truncation.MASK_AND_PUNISH):
            reward += max(-1.0, min(0.0, (30 - len(values)) / 30))
        if truncation is Truncation.BOOTSTRAP and batch.truncated[row]:
            reward, final = 0.0, batch.bootstrap_values[row].item()
        lam = reference.length_adaptive_lambda(len(values), alpha)
        expected = reference.advantages(values, reward, lam, final)
        assert got_advantages[row] == pytest.approx(expected, abs=1e-11)
        goals = reference.targets(values, reward, lambda_critic, final)
        assert got_targets[row] == pytest.approx(goals, abs=1e-11)


@settings(max_examples=30, deadline=None)
@given(LENGTHS, SEEDS, st.sampled_from([0.0, 0.5, 0.95]))
def test_without_decoupling_one_lambda_serves_both(lengths: list[int], seed: int, lam: float) -> None:
    batch = random_batch(seed, lengths)
    assert batch.values is not None
    options = AlgorithmSettings(decoupled_gae=False, length_adaptive_lambda=False, lambda_policy=lam, lambda_critic=1.0)
    result = compute_advantages_and_targets(batch, options)
    assert torch.allclose(result.targets, result.advantages + batch.values, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(LENGTHS, SEEDS)
def test_a_row_does_not_depend_on_its_batch_mates(lengths: list[int], seed: int) -> None:
    batch = random_batch(seed, lengths)
    together = compute_advantages_and_targets(batch, AlgorithmSettings(lambda_critic=0.9))
    assert batch.values is not None
    for row, values in enumerate(rows_of(batch.values, batch.lengths)):
        alone = compute_advantages_and_targets(
            scored_rows([values], [batch.rewards[row].item()]), AlgorithmSettings(lambda_critic=0.9)
        )
        part = together.select_rows(torch.tensor([row]))
        assert torch.allclose(part.advantages, alone.advantages, atol=1e-12)
        assert torch.allclose(part.targets, alone.targets, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(-1, 1))
def test_monte_carlo_targets_do_not_see_the_critic(seed: int, shift: float) -> None:
    batch = random_batch(seed, [12, 40])
    assert batch.values is not None
    moved = type(batch)(**{**batch.__dict__, "values": batch.values * 3 + shift})
    assert torch.equal(
        compute_advantages_and_targets(batch, AlgorithmSettings()).targets,
        compute_advantages_and_targets(moved, AlgorithmSettings()).targets,
    )


def test_long_rows_in_float32_stay_within_1e_5() -> None:
    lengths = torch.tensor([8192, 5000, 33, 1])
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(int(lengths.sum()), generator=generator) * 2 - 1
    lambdas = 1 - 1 / (0.05 * lengths.double()).clamp(min=1)
    rewards, none = torch.tensor([1.0, -1.0, 1.0, -1.0]), torch.zeros(4)
    single = decoupled_gae(values, lengths, rewards, none, lambdas, lambdas).advantages
    double = decoupled_gae(values.double(), lengths, rewards, none, lambdas, lambdas).advantages
    assert (single.double() - double).abs().max().item() < 1e-5
    recursion = torch.zeros((), dtype=torch.float64)
    following = torch.zeros((), dtype=torch.float64)
    for t in range(8191, -1, -1):
        reward = 1.0 if t == 8191 else 0.0
        delta = reward + following - values[t].double()
        recursion = delta + lambdas[0] * recursion
        following = values[t].double()
    assert double[0].item() == pytest.approx(recursion.item(), abs=1e-9)
