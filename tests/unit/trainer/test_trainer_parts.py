"""The trainer's small parts: rows, sharing of rows and orders, mismatch, metrics, requests."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.support.trainer_cases import random_rows, tiny_learner, tiny_policy, trainer_settings
from trainer.algorithm.denominators import Denominators
from trainer.algorithm.diagnostics import explained_variance
from trainer.algorithm.objective import compute_advantages_and_targets
from trainer.intake.coordinator import Coordinator
from trainer.intake.order import Action, Order, decode_order, encode_order
from trainer.learning.batch import RolloutBatch, UntrainableError
from trainer.learning.critic_steps import critic_steps
from trainer.learning.micro_batches import split_rows
from trainer.learning.policy_steps import token_log_probs
from trainer.learning.snapshots import WeightSnapshots
from trainer.learning.timer import StepTimer
from trainer.learning.update import UpdateResult, update
from trainer.learning.value_pretraining import pretrain
from trainer.learning.values import scored_rows, state_values
from trainer.ranks.parallel import Ranks
from trainer.records import report
from trainer.records.metrics_file import MetricsFile
from trainer.records.mismatch import MismatchError, measure_mismatch, measure_past_mismatch, require_agreement
from trainer.records.position import RunPosition
from trainer.records.status import Requests, Status
from trainer.run_lock import RunLocked, run_lock
from vapo.messages import VersionSpan
from vapo.settings import AlgorithmSettings, RunSettings, Settings, ValuePretrainingSettings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_token_ids", np.zeros(0, np.int32)),
        ("prompt_token_ids", np.zeros(0, np.int32)),
        ("behaviour_log_probs", np.array([-1.0], np.float32)),
        ("behaviour_log_probs", np.array([-1.0, math.nan, -1.0], np.float32)),
        ("reward", math.nan),
        ("temperature", 0.0),
        ("values", np.zeros(3, np.float32)),
        ("values", np.array([0, 0, math.inf, 0], np.float32)),
        ("critic_version", None),
    ],
)
def test_a_broken_row_is_refused_by_name(field: str, value: object) -> None:
    row = dataclasses.replace(
        random_rows(1)[0],
        response_token_ids=np.array([5, 6, 7], np.int32),
        behaviour_log_probs=np.full(3, -1, np.float32),
        values=np.zeros(4, np.float32),
        critic_version=1,
    )
    with pytest.raises(UntrainableError, match=f"rollout task0.0: {field}"):
        dataclasses.replace(row, **{field: value})


def test_an_order_survives_the_wire() -> None:
    rows = tuple(random_rows(3, scored=True, version=4) + random_rows(2))
    order = decode_order(encode_order(Order(Action.TRAIN, rows)))
    assert order.action is Action.TRAIN
    for one, other in zip(rows, order.rows, strict=True):
        for field in dataclasses.fields(one):
            before, after = getattr(one, field.name), getattr(other, field.name)
            assert np.array_equal(before, after), field.name


def test_rows_are_shared_once_and_evenly() -> None:
    lengths = [7, 3, 9, 1, 5, 4, 8, 2]
    shares = split_rows([0, 2, 3, 4, 5, 6, 7], lengths, 3)
    assert sorted(row for share in shares for row in share) == [0, 2, 3, 4, 5, 6, 7]
    loads = [sum(lengths[row] for row in share) for share in shares]
    assert max(loads) - min(loads) <= 2
    assert split_rows([1], lengths, 3) == [[1], [], []]


def test_mismatch_is_measured_on_the_trainers_own_version_only() -> None:
    behaviour = torch.tensor([-1.0, -2.0, -3.0])
    trainer = torch.tensor([-1.1, -1.9, -9.0])
    mismatch = measure_mismatch(behaviour, trainer, torch.tensor([3, 3, 2]), version=3)
    assert mismatch.tokens == 2
    assert mismatch.magnitude == pytest.approx(0.1)
    expected = sum(math.exp(d) - 1 - d for d in (-0.1, 0.1)) / 2
    assert mismatch.kl == pytest.approx(expected, rel=1e-5)
    require_agreement(mismatch, 0.11)
    with pytest.raises(MismatchError, match=r"0\.1 nats per token over 2 tokens"):
        require_agreement(mismatch, 0.05)
    with pytest.raises(MismatchError):
        require_agreement(dataclasses.replace(mismatch, magnitude=math.nan), 0.05)


def test_without_tokens_of_the_version_nothing_is_known_and_nothing_refused() -> None:
    mismatch = measure_mismatch(torch.zeros(2), torch.ones(2), torch.tensor([1, 1]), version=2)
    assert (mismatch.tokens, mismatch.magnitude, mismatch.kl) == (0, None, None)
    require_agreement(mismatch, 1e-9)


def test_a_resumed_run_takes_back_the_rows_it_will_write_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    file = MetricsFile(path)
    for row in ({"pretraining_step": 1}, {"step": 1}, {"step": 2}, {"step": 3}):
        file.append(row)
    with path.open("a") as stream:
        stream.write('{"step": 1, "cut o')
    file.forget_after(step=2, pretraining_step=1)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"pretraining_step": 1},
        {"step": 1},
        {"step": 2},
    ]


def test_the_metrics_row_is_plain_json_with_all_promised_names() -> None:
    batch, timer = RolloutBatch(random_rows(8)), StepTimer()
    result = update(tiny_learner(trainer=trainer_settings(mini_batch_rollouts=4)), batch, timer)
    row = report.batch_metrics(batch) | report.update_metrics(batch, result)
    row |= report.speed_metrics(timer.seconds, batch.response_tokens) | report.staleness_metrics([0, 2])
    row = json.loads(json.dumps(row, allow_nan=False))
    promised = {
        "reward",
        "accuracy",
        "response_length",
        "entropy",
        "explained_variance",
        "value_loss",
        "policy_loss",
        "positive_nll",
        "clip_fraction_up",
        "clip_fraction_down",
        "ratio_p50",
        "effective_sample_size",
        "staleness_mean",
        "staleness_max",
        "rescored_fraction",
        "tokens_per_second",
        "seconds",
        "behaviour_kl",
        "behaviour_kl_k1",
        "behaviour_gap",
        "correction_dropped_fraction",
        "ratio_effective_sample_size",
        "initial_value_bias",
        "initial_value_correlation",
        "value_bias",
        "value_bias_by_length",
        "explained_variance_by_decile",
        "advantage_by_decile",
    }
    assert promised <= row.keys()
    assert set(row["seconds"]) == {"values", "proximal", "critic", "actor"}
    assert row["staleness_mean"] == 1.0
    assert row["accuracy"] == pytest.approx(float(batch.correct.float().mean()))


def test_behaviour_figures_are_of_known_tokens_and_apart_by_version_lag() -> None:
    batch = RolloutBatch(
        [
            dataclasses.replace(row, version_spans=(VersionSpan(number % 2, 0, size),))
            for number, row in enumerate(random_rows(6))
            for size in [row.response_token_ids.size]
        ]
    )
    tokens = batch.response_tokens
    proximal = batch.behaviour_log_probs + torch.where(batch.token_versions == 1, 0.1, -0.3)
    known = torch.arange(tokens) < tokens - 3
    nothing = torch.zeros(tokens)
    result = UpdateResult(None, nothing, nothing, proximal.where(known, torch.nan), known, 1, 0.0, {})
    row = report.behaviour_metrics(batch, result)
    by_lag = {entry["lag"]: entry for entry in row["behaviour_by_lag"]}
    assert by_lag[0]["behaviour_gap"] == pytest.approx(0.1, rel=1e-4)
    assert by_lag[1]["behaviour_gap"] == pytest.approx(0.3, rel=1e-4)
    assert by_lag[1]["behaviour_kl_k1"] == pytest.approx(0.3, rel=1e-4)
    assert by_lag[0]["tokens"] + by_lag[1]["tokens"] == tokens - 3
    assert by_lag[0]["behaviour_kl"] == pytest.approx(math.exp(0.1) - 1.1, rel=1e-3)


def test_past_mismatch_scores_with_the_weights_that_sampled_and_puts_the_own_ones_back() -> None:
    settings = trainer_settings(rate=0.05, mini_batch_rollouts=4, mismatch_rows=3)
    learner, snapshots = tiny_learner(trainer=settings), WeightSnapshots(2, torch.float32)
    policy, rows = learner.policy, random_rows(8)
    drawn = token_log_probs(learner, RolloutBatch(rows), range(8))
    parts = drawn.split([row.response_token_ids.size for row in rows])
    batch = RolloutBatch(
        [
            dataclasses.replace(row, behaviour_log_probs=part.numpy() + 0.01)
            for row, part in zip(rows, parts, strict=True)
        ]
    )
    snapshots.keep(0, policy)
    update(learner, batch, StepTimer())
    learner.version = 2
    before = [parameter.clone() for parameter in policy.parameters()]
    mismatch = measure_past_mismatch(learner, batch, snapshots)
    assert mismatch.tokens == sum(row.response_token_ids.size for row in rows[:3])
    assert mismatch.lag == 2
    assert mismatch.magnitude == pytest.approx(0.01, abs=1e-4)
    assert mismatch.kl_k1 == pytest.approx(0.01, abs=1e-4)
    now = token_log_probs(learner, batch, range(8))
    assert (now - drawn).abs().mean() > 0.05
    assert all(map(torch.equal, before, policy.parameters()))


def test_snapshots_keep_the_newest_and_without_any_nothing_is_measured() -> None:
    policy, snapshots = tiny_policy(), WeightSnapshots(2, torch.float32)
    for version in (3, 4, 5):
        snapshots.keep(version, policy)
    assert snapshots.versions == (4, 5)
    none = WeightSnapshots(0, torch.float32)
    none.keep(1, policy)
    assert none.versions == ()
    batch = RolloutBatch(random_rows(4))
    for empty in (none, snapshots):
        assert measure_past_mismatch(tiny_learner(policy), batch, empty).tokens == 0


def test_pretraining_fits_the_returns_and_leaves_the_actor_alone() -> None:
    learner = tiny_learner(trainer=trainer_settings(rate=5e-3, mini_batch_rollouts=4))
    before = [parameter.clone() for parameter in learner.policy.parameters()]
    batch, settings = RolloutBatch(random_rows(12)), ValuePretrainingSettings(epochs=2)
    results = [pretrain(learner, batch, settings, StepTimer()) for _ in range(10)]
    assert results[-1].explained_variance > 0.5 > results[0].explained_variance
    assert all(map(torch.equal, before, learner.policy.parameters()))
    assert learner.policy_optimiser.steps_taken == 0


def test_pretraining_is_measured_before_it_learns_and_against_returns_alone() -> None:
    """Whatever lambda the run's targets have; rows without an outcome of their own do not count."""
    algorithm = AlgorithmSettings(truncation="bootstrap", lambda_critic=0.5)
    learner = tiny_learner(algorithm=algorithm, trainer=trainer_settings(rate=0.05, mini_batch_rollouts=12))
    batch = RolloutBatch(random_rows(12, seed=3))
    before = state_values(learner, batch, range(12)).before_tokens
    ended = (~batch.truncated).repeat_interleave(batch.lengths)
    values = before[ended]
    returns = batch.rewards.repeat_interleave(batch.lengths)[ended]
    assert not bool(ended.all())
    result = pretrain(learner, batch, ValuePretrainingSettings(), StepTimer())
    assert result.explained_variance == pytest.approx(explained_variance(values, returns), rel=1e-4)
    assert result.metrics["value/loss"] == pytest.approx(0.5 * float((values - returns).square().mean()), rel=1e-4)


def test_losses_of_several_steps_are_averaged_and_other_figures_weighted_by_tokens() -> None:
    batch = RolloutBatch(random_rows(2))
    learner = tiny_learner()
    values = state_values(learner, batch, range(2))
    signal = compute_advantages_and_targets(scored_rows(batch, values), learner.algorithm)
    steps = critic_steps(learner, batch, signal)
    for loss, value, tokens in ((1.0, 6.0, 3.0), (2.0, 10.0, 5.0)):
        for half in (0.25, 0.75):  # micro-batches
            steps._metrics.append({"value/loss": torch.tensor(loss * half), "value/value": torch.tensor(value * half)})
        steps._denominators.append(Denominators(0.0, 0.0, 0.0, tokens))
        steps._gradient_norms.append(loss)
    assert steps.reduced_metrics() == pytest.approx({"value/loss": 1.5, "value/value": 2.0, "value/gradient_norm": 2.0})


def test_only_one_trainer_holds_a_run_directory(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(RunLocked, match="another trainer"):
        run_lock(tmp_path).__enter__()
    with run_lock(tmp_path):
        assert (tmp_path / "trainer.lock").exists()


def test_a_long_pause_tells_the_other_ranks_to_wait_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their collective has a deadline, a pause has none."""
    monkeypatch.setattr("trainer.intake.coordinator.LONGEST_SILENCE_SECONDS", 0.3)
    settings = Settings(run=RunSettings(directory=tmp_path))
    ledger = SimpleNamespace(settings=settings, control=SimpleNamespace(stop_requested=False))
    requests = Requests()
    requests.pause()
    coordinator = Coordinator(ledger, None, requests, Status())
    assert coordinator.next_order(RunPosition(), StepTimer()).action is Action.WAIT
    requests.stop()
    assert coordinator.next_order(RunPosition(), StepTimer()).action is Action.STOP


def test_a_model_that_will_be_sharded_is_loaded_off_the_accelerator() -> None:
    accelerator = torch.device("cuda", 1)
    assert Ranks(1, 2, accelerator).loading_device == torch.device("cpu")
    assert Ranks(0, 1, accelerator).loading_device == accelerator


def test_stopping_ends_a_pause() -> None:
    requests = Requests()
    requests.pause()
    assert requests.paused
    requests.stop()
    assert requests.stopping
    assert not requests.paused
