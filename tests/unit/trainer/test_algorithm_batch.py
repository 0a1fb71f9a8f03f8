"""What a batch must look like, group baselines, whitening, row selection, options and presets."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from tests.support.algorithm_cases import random_batch, random_log_probs, row_batch
from trainer.algorithm.denominators import Denominators
from trainer.algorithm.group_advantages import group_advantages, uniform_groups
from trainer.algorithm.objective import (
    RowBatch,
    compute_advantages_and_targets,
    count_denominators,
    policy_objective,
    value_objective,
)
from trainer.algorithm.options import Options
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
    batch = row_batch([[0.1] * 3, [0.2] * 2], [1.0, -1.0])
    with pytest.raises(ValueError, match=message):
        compute_advantages_and_targets(replace(batch, **change), Options())


def test_misaligned_micro_batches_are_refused() -> None:
    batch = compute_advantages_and_targets(random_batch(0, [3, 2]), Options())
    counts = count_denominators(batch)
    current, behaviour, _ = random_log_probs(0, 5)
    with pytest.raises(ValueError, match=r"behaviour log-probs have shape \[4\]"):
        policy_objective(current, behaviour[:4], None, batch, counts, Options())
    with pytest.raises(ValueError, match=r"values have shape \[4\]"):
        value_objective(current[:4], batch, counts)
    with pytest.raises(ValueError, match="entropies is missing"):
        policy_objective(current, behaviour, None, batch, counts, Options(entropy_weight=0.1))


def test_a_step_without_positives_or_policy_rows_has_zero_loss_and_gradient() -> None:
    batch = compute_advantages_and_targets(row_batch([[0.1] * 3], [-1.0], truncated=[True]), Options())
    current, behaviour, proximal = random_log_probs(0, 3)
    current.requires_grad_()
    result = policy_objective(current, behaviour, proximal, batch, count_denominators(batch), Options())
    result.loss.backward()
    assert result.loss.item() == 0.0
    assert current.grad.tolist() == [0.0] * 3  # type: ignore[union-attr]


def test_negative_denominators_are_refused() -> None:
    with pytest.raises(ValueError, match="policy_tokens=-1"):
        Denominators(-1.0, 1.0, 1.0, 1.0)


def test_denominators_travel_as_a_tensor() -> None:
    counts = Denominators(4.0, 1.0, 3.0, 8.0)
    assert Denominators.from_tensor(counts.to_tensor() + counts.to_tensor()) == Denominators(8.0, 2.0, 6.0, 16.0)


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
    batch = RowBatch(
        lengths=torch.tensor([2, 3]),
        rewards=torch.tensor([1.0, -1.0]),
        correct=torch.tensor([True, False]),
        truncated=torch.tensor([False, False]),
        group_ids=torch.tensor([0, 0]),
    )
    result = compute_advantages_and_targets(batch, Options(estimator="group"))
    expected = [1 / 2**0.5] * 2 + [-1 / 2**0.5] * 3
    assert result.advantages.tolist() == pytest.approx(expected, rel=1e-5)
    assert not result.value_mask.any()
    with pytest.raises(ValueError, match="group_ids is missing"):
        compute_advantages_and_targets(replace(batch, group_ids=None), Options(estimator="group"))


def test_dropped_uniform_groups_leave_the_policy_loss_only() -> None:
    batch = row_batch([[0.0] * 2] * 4, [1.0, 1.0, 1.0, -1.0], correct=[True, True, True, False], groups=[0, 0, 1, 1])
    result = compute_advantages_and_targets(batch, Options(drop_uniform_groups=True))
    assert result.policy_mask.tolist() == [False] * 4 + [True] * 4
    assert result.value_mask.all()


def test_whitening_counts_masked_in_tokens_only() -> None:
    mask = torch.tensor([True, True, True, False])
    white = whiten(torch.tensor([1.0, 2.0, 6.0, 100.0], dtype=torch.float64), mask)
    assert white[:3].mean().item() == pytest.approx(0.0, abs=1e-12)
    assert white[:3].std(correction=0).item() == pytest.approx(1.0, abs=1e-6)
    assert white[3].item() == 0.0


def test_rows_are_selected_in_the_order_asked_for() -> None:
    batch = compute_advantages_and_targets(random_batch(3, [2, 3, 4]), Options())
    part = batch.select_rows(torch.tensor([2, 0]))
    assert part.lengths.tolist() == [4, 2]
    assert torch.equal(part.advantages, torch.cat([batch.advantages[5:], batch.advantages[:2]]))
    assert part.row_lengths.tolist() == [4] * 4 + [2] * 2


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0.0},
        {"lambda_critic": 1.1},
        {"lambda_policy": -0.1},
        {"clip_low": 1.0},
        {"clip_high": 0.0},
        {"positive_example_weight": -1.0},
        {"correction": "vtrace"},
        {"correction_low": 3.0},
        {"estimator": "mc"},
        {"entropy_weight": -0.1},
        {"truncation": "drop"},
        {"truncation": "soft_punishment"},
        {"truncation": "soft_punishment", "max_response_tokens": 10},
    ],
)
def test_impossible_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change)) + "|Truncation|max_response|overlong"):
        Options(**change)


def test_option_names_are_the_settings_names_and_defaults_agree() -> None:
    settings = AlgorithmSettings().model_dump()
    names = {field.name for field in fields(Options)}
    assert names == {*settings, "max_response_tokens"}
    paper = Options()
    for name in set(settings) - {"overlong_buffer_tokens"}:  # scaled to the demo's responses
        assert settings[name] == getattr(paper, name), name


@pytest.mark.parametrize("name", [*PRESETS, *ABLATIONS])
def test_presets_are_valid_settings_and_valid_options(name: str) -> None:
    settings = load_settings(base=preset(name), environment={})
    options = Options(**settings.algorithm.model_dump(), max_response_tokens=settings.sampling.max_new_tokens)
    changed = preset(name).get("algorithm", {})
    assert all(getattr(options, key) == value for key, value in changed.items())


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="preset='trpo' is unknown"):
        preset("trpo")
