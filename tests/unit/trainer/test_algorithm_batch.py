"""What a batch must look like, group baselines, whitening, row selection and presets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.support.algorithm_cases import random_batch, random_log_probs, scored_rows
from trainer.algorithm.denominators import Denominators, add_denominators
from trainer.algorithm.group_advantages import group_advantages, uniform_groups
from trainer.algorithm.objective import (
    ScoredRows,
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
    value_objective,
)
from trainer.algorithm.whitening import whiten
from vapo.settings import AlgorithmSettings, load_settings
from vapo.settings.presets import ABLATIONS, PRESETS, preset


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": torch.tensor([3, 0])}, "row 1 has an empty response"),
        ({"lengths": torch.tensor([3, 3])}, "add up to 6 tokens but values has 5"),
        ({"lengths": torch.tensor([], dtype=torch.int64)}, "non-empty int64"),
        ({"lengths": torch.tensor([3.0, 2.0])}, "non-empty int64"),
        ({"rewards": torch.tensor([1.0])}, r"rewards has shape \[1\]"),
        ({"values": None}, "values is missing and estimator gae needs it"),
    ],
)
def test_malformed_batches_are_refused(change: dict[str, Any], message: str) -> None:
    batch = scored_rows([[0.1] * 3, [0.2] * 2], [1.0, -1.0])
    with pytest.raises(ValueError, match=message):
        compute_advantages_and_targets(replace(batch, **change), AlgorithmSettings())


def test_misaligned_micro_batches_are_refused() -> None:
    batch = compute_advantages_and_targets(random_batch(0, [3, 2]), AlgorithmSettings())
    counts = count_denominators(batch)
    current, behaviour, _ = random_log_probs(0, 5)
    with pytest.raises(ValueError, match=r"behaviour log-probs have shape \[4\]"):
        policy_objective(current, behaviour[:4], None, batch, counts, AlgorithmSettings())
    with pytest.raises(ValueError, match=r"values have shape \[4\]"):
        value_objective(current[:4], batch, counts)
    with pytest.raises(ValueError, match="entropies is missing"):
        policy_objective(current, behaviour, None, batch, counts, AlgorithmSettings(entropy_weight=0.1))


def test_a_step_without_positives_or_policy_rows_has_zero_loss_and_gradient() -> None:
    batch = compute_advantages_and_targets(scored_rows([[0.1] * 3], [-1.0], truncated=[True]), AlgorithmSettings())
    current, behaviour, proximal = random_log_probs(0, 3)
    current.requires_grad_()
    result = policy_objective(current, behaviour, proximal, batch, count_denominators(batch), AlgorithmSettings())
    result.loss.backward()
    assert result.loss.item() == 0.0
    assert current.grad.tolist() == [0.0] * 3  # type: ignore[union-attr]


def test_negative_denominators_are_refused() -> None:
    with pytest.raises(ValueError, match="policy_tokens=-1"):
        Denominators(-1.0, 1.0, 1.0, 1.0)


def test_denominators_of_several_steps_add_up() -> None:
    counts = Denominators(4.0, 1.0, 3.0, 8.0)
    assert add_denominators([counts, counts]) == Denominators(8.0, 2.0, 6.0, 16.0)


def test_group_advantages() -> None:
    rewards = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 0.3])
    groups = torch.tensor([7, 7, 7, 7, 2, 2, 5])
    plain = group_advantages(rewards, groups, divide_by_deviation=False)
    assert plain.tolist() == pytest.approx([1.0, -1.0, 1.0, -1.0, 0.0, 0.0, 0.0])
    divided = group_advantages(rewards, groups)
    deviation = torch.tensor([1.0, -1.0, 1.0, -1.0]).std().item()
    assert divided[0].item() == pytest.approx(1 / deviation, rel=1e-5)
    assert divided[4:].tolist() == [0.0, 0.0, 0.0]


def test_uniform_groups_are_judged_by_the_verdict() -> None:
    correct = torch.tensor([True, True, False, True, False])
    assert uniform_groups(correct, torch.tensor([4, 4, 9, 9, 1])).tolist() == [True, True, False, False, True]


def test_group_estimator_needs_no_critic_and_trains_none() -> None:
    batch = ScoredRows(
        lengths=torch.tensor([2, 3]),
        rewards=torch.tensor([1.0, -1.0]),
        correct=torch.tensor([True, False]),
        truncated=torch.tensor([False, False]),
        group_ids=torch.tensor([0, 0]),
    )
    result = compute_advantages_and_targets(batch, AlgorithmSettings(estimator="group"))
    expected = [1 / 2**0.5] * 2 + [-1 / 2**0.5] * 3
    assert result.advantages.tolist() == pytest.approx(expected, rel=1e-5)
    assert not result.value_mask.any()
    with pytest.raises(ValueError, match="group_ids is missing"):
        compute_advantages_and_targets(replace(batch, group_ids=None), AlgorithmSettings(estimator="group"))


def test_dropped_uniform_groups_leave_the_policy_loss_only() -> None:
    batch = scored_rows([[0.0] * 2] * 4, [1.0, 1.0, 1.0, -1.0], correct=[True, True, True, False], groups=[0, 0, 1, 1])
    result = compute_advantages_and_targets(batch, AlgorithmSettings(drop_uniform_groups=True))
    assert result.policy_mask.tolist() == [False] * 4 + [True] * 4
    assert result.value_mask.all()


def test_whitening_counts_masked_in_tokens_only() -> None:
    mask = torch.tensor([True, True, True, False])
    white = whiten(torch.tensor([1.0, 2.0, 6.0, 100.0], dtype=torch.float64), mask)
    assert white[:3].mean().item() == pytest.approx(0.0, abs=1e-12)
    assert white[:3].std(correction=0).item() == pytest.approx(1.0, abs=1e-6)
    assert white[3].item() == 0.0


def test_rows_are_selected_in_the_order_asked_for() -> None:
    batch = compute_advantages_and_targets(random_batch(3, [2, 3, 4]), AlgorithmSettings())
    part = batch.select_rows(torch.tensor([2, 0]))
    assert part.lengths.tolist() == [4, 2]
    assert torch.equal(part.advantages, torch.cat([batch.advantages[5:], batch.advantages[:2]]))
    assert part.row_lengths.tolist() == [4] * 4 + [2] * 2


@pytest.mark.parametrize("name", [*PRESETS, *ABLATIONS])
def test_presets_are_valid_settings(name: str) -> None:
    algorithm = load_settings(base=preset(name), environment={}).algorithm
    changed = preset(name).get("algorithm", {})
    assert all(getattr(algorithm, key) == value for key, value in changed.items())


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="preset='trpo' is unknown"):
        preset("trpo")
