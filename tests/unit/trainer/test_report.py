"""Figures of the metrics row on batches whose answer is known."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from tests.support.trainer_cases import random_rows
from trainer.algorithm.objective import compute_advantages_and_targets, count_denominators, value_objective
from trainer.learning.batch import RolloutBatch, TrainingRow
from trainer.learning.update import UpdateResult
from trainer.learning.values import StateValues, scored_rows
from trainer.records import report
from vapo.messages import VersionSpan
from vapo.settings import AlgorithmSettings


def _row(number: int, length: int, reward: float, truncated: bool = False) -> TrainingRow:
    return dataclasses.replace(
        random_rows(1)[0],
        rollout_id=f"task{number}.0",
        task_id=f"task{number}",
        response_token_ids=np.full(length, 5, np.int32),
        behaviour_log_probs=np.full(length, -1.0, np.float32),
        version_spans=(VersionSpan(0, 0, length),),
        reward=reward,
        correct=reward > 0,
        truncated=truncated,
    )


def _result(
    batch: RolloutBatch, values: torch.Tensor, options: AlgorithmSettings, log_probs: torch.Tensor | None = None
) -> UpdateResult:
    final = torch.full((len(batch),), 0.5)
    signal = compute_advantages_and_targets(scored_rows(batch, StateValues(values, final)), options)
    current = batch.behaviour_log_probs if log_probs is None else log_probs
    return UpdateResult(
        signal, values, current, batch.behaviour_log_probs, torch.ones_like(values, dtype=torch.bool), 0, 0.0, {}
    )


def test_the_critic_is_measured_against_returns_and_not_against_its_targets() -> None:
    """At lambda_critic = 0 targets are the next values: it would be measured by itself."""
    batch = RolloutBatch([_row(0, 3, 1.0), _row(1, 1, -1.0)])
    values = torch.tensor([-0.4, 0.2, 0.6, 0.0])
    result = _result(batch, values, AlgorithmSettings(lambda_critic=0.0))
    assert not torch.equal(result.signal.targets, result.signal.returns)
    row = report.value_metrics(batch, result)
    assert row["explained_variance"] == pytest.approx(1 - 0.78 / 0.75)
    assert row["value_bias"] == pytest.approx(0.1 - 0.5)
    objective = value_objective(values, result.signal, count_denominators(result.signal))
    assert objective.metrics["value/return"].item() == pytest.approx(2.0)
    assert objective.metrics["value/error"].item() == pytest.approx(2.0 - 0.4)


def test_the_value_of_the_prompt_is_compared_row_by_row() -> None:
    """A long right answer, a short wrong one: mean return 0 over rows, 0.5 over tokens."""
    batch = RolloutBatch([_row(0, 3, 1.0), _row(1, 1, -1.0)])
    result = _result(batch, torch.tensor([0.2, 9.0, 9.0, 0.4]), AlgorithmSettings())
    row = report.value_metrics(batch, result)
    assert row["initial_value"] == pytest.approx(0.3)
    assert row["initial_value_bias"] == pytest.approx(0.3)
    assert row["initial_value_correlation"] == pytest.approx(-1.0)


def test_rows_that_the_critic_does_not_learn_from_are_not_held_against_it() -> None:
    batch = RolloutBatch([_row(0, 2, 1.0), _row(1, 3, 1.0, truncated=True), _row(2, 1, -1.0)])
    values = torch.tensor([0.5, 0.5, 7.0, 7.0, 7.0, -0.5])
    row = report.value_metrics(batch, _result(batch, values, AlgorithmSettings(truncation="bootstrap")))
    assert row["initial_value"] == pytest.approx(0.0)
    assert row["value_bias"] == pytest.approx((-0.5 - 0.5 + 0.5) / 3)
    assert [part["length"] for part in row["value_bias_by_length"]] == [1.0, 2.0]
    assert [part["bias"] for part in row["value_bias_by_length"]] == pytest.approx([0.5, -0.5])


def test_ratios_are_of_the_current_policy_to_the_sampler() -> None:
    batch = RolloutBatch([_row(0, 3, 1.0)])
    current = torch.tensor([-1.0, -1.0 + math.log(2.0), -1.0 - math.log(4.0)])
    row = report.ratio_metrics(batch, _result(batch, torch.zeros(3), AlgorithmSettings(), current))
    assert [row["ratio_min"], row["ratio_p50"], row["ratio_max"]] == pytest.approx([0.25, 1, 2])
    assert row["ratio_effective_sample_size"] == pytest.approx(3.25**2 / (3 * (4 + 1 + 0.0625)))


def test_ratios_of_policies_that_share_nothing_are_still_json() -> None:
    batch = RolloutBatch([_row(0, 3, 1.0)])
    current = torch.tensor([-1.0, 900.0, -900.0])
    row = report.ratio_metrics(batch, _result(batch, torch.zeros(3), AlgorithmSettings(), current))
    json.dumps(row, allow_nan=False)
    assert row["ratio_effective_sample_size"] == pytest.approx(1 / 3)


def test_tokens_belong_to_the_version_of_their_own_span() -> None:
    row = dataclasses.replace(
        _row(0, 5, 1.0), version_spans=(VersionSpan(3, 0, 2), VersionSpan(4, 2, 3), VersionSpan(6, 3, 5))
    )
    assert row.token_versions().tolist() == [3, 3, 4, 6, 6]
    assert row.oldest_version == 3
    batch = RolloutBatch([row, _row(1, 2, 1.0)])
    assert batch.token_versions.tolist() == [3, 3, 4, 6, 6, 0, 0]
