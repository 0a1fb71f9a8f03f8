"""Checkpoints: a resumed trainer takes the same next step, and half-written ones never count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.support.trainer_cases import random_rows, tiny_critic, tiny_learner, tiny_policy, trainer_settings
from trainer.checkpoint import (
    MANIFEST,
    CheckpointError,
    CheckpointFormatError,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.state_dicts import (
    critic_state_dict,
    load_optimiser_state_dict,
    optimiser_state_dict,
    policy_state_dict,
)
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.records.position import RunPosition
from vapo.durable import durable_folder


def _learner(form: str = "qwen3", tied: bool = True, seed: int = 0, keep: int = 2) -> Learner:
    trainer = trainer_settings(rate=1e-2, warmup_steps=5, mini_batch_rollouts=3, token_budget=64, keep_checkpoints=keep)
    return tiny_learner(tiny_policy(form, tied, seed), tiny_critic(form, seed), trainer=trainer, seed=seed)


def _train(learner: Learner, seed: int) -> dict[str, float]:
    return update(learner, RolloutBatch(random_rows(8, seed)), StepTimer()).metrics


def _save(directory: Path, learner: Learner, step: int) -> Path:
    position = RunPosition(step=step, version=7, unacknowledged=(("1-0", "a.0"), ("1-1", "a.1")))
    return save_checkpoint(directory, learner, position, {"run": {"seed": 3}})


@pytest.mark.parametrize("tied", [False, True])
def test_the_next_step_after_a_resume_is_the_same_bit_for_bit(tmp_path: Path, tied: bool) -> None:
    learner = _learner(tied=tied)
    _train(learner, 0)
    _save(tmp_path, learner, step=1)
    expected = _train(learner, 1)

    resumed = _learner(tied=tied, seed=9)
    folder = newest_checkpoint(tmp_path)
    assert folder is not None
    manifest = load_checkpoint(folder, resumed)
    assert manifest.position == RunPosition(step=1, version=7, unacknowledged=(("1-0", "a.0"), ("1-1", "a.1")))
    assert _train(resumed, 1) == expected
    for one, two in ((learner.policy, resumed.policy), (learner.critic, resumed.critic)):
        for first, second in zip(one.parameters(), two.parameters(), strict=True):
            assert torch.equal(first, second)


def test_a_checkpoint_before_the_first_step_resumes_too(tmp_path: Path) -> None:
    _save(tmp_path, _learner(), step=0)
    resumed = _learner(seed=4)
    load_checkpoint(tmp_path / "00000000", resumed)
    assert resumed.policy_optimiser.steps_taken == 0
    _train(resumed, 0)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    learner = _learner(keep=2)
    for step in (1, 2, 3, 4):
        _save(tmp_path, learner, step)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["00000003", "00000004"]


def test_a_damaged_checkpoint_of_a_later_step_does_not_push_the_whole_one_out(tmp_path: Path) -> None:
    learner = _learner(keep=1)
    (_save(tmp_path, learner, step=20) / MANIFEST).write_text("{")
    for step in (14, 15):
        _save(tmp_path, learner, step)
    assert newest_checkpoint(tmp_path) == tmp_path / "00000015"
    assert not (tmp_path / "00000014").exists()


def test_what_an_interrupted_writer_left_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".00000005.partial").mkdir()
    _save(tmp_path, _learner(), step=6)
    assert [folder.name for folder in tmp_path.iterdir()] == ["00000006"]


def test_step_counts_of_the_optimiser_lie_where_their_parameters_do() -> None:
    """The fused kernel of a GPU cannot read a step count on the CPU."""
    learner = _learner(tied=False)
    _train(learner, 0)
    state = optimiser_state_dict(learner.policy, learner.policy_optimiser)
    elsewhere, optimiser = tiny_policy().to("meta"), _learner().policy_optimiser
    load_optimiser_state_dict(elsewhere, optimiser, state)
    for parameter in elsewhere.parameters():
        devices = {tensor.device for tensor in optimiser.adamw.state[parameter].values()}
        assert devices == {parameter.device}


def test_a_rank_that_writes_nothing_keeps_nothing() -> None:
    learner = _learner()
    _train(learner, 0)
    assert policy_state_dict(learner.policy, keep=False) == {}
    assert critic_state_dict(learner.critic, keep=False) == {}
    assert optimiser_state_dict(learner.policy, learner.policy_optimiser, keep=False) == {}


def test_incomplete_and_damaged_checkpoints_are_passed_over(tmp_path: Path) -> None:
    learner = _learner(keep=9)
    for step in (1, 2, 3, 4):
        _save(tmp_path, learner, step)
    (tmp_path / "00000004" / "manifest.json").write_text("{")
    (tmp_path / "00000003" / "critic.safetensors").unlink()
    (tmp_path / ".00000005.partial").mkdir()
    assert newest_checkpoint(tmp_path) == tmp_path / "00000002"
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_a_checkpoint_of_another_release_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    learner = _learner()
    _save(tmp_path, learner, step=1)
    manifest = _save(tmp_path, learner, step=2) / MANIFEST
    raw = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**raw, "format": 99, "unheard_of": 1}))
    with pytest.raises(CheckpointFormatError, match="format 99"):
        newest_checkpoint(tmp_path)


def test_flipped_bytes_are_noticed(tmp_path: Path) -> None:
    folder = _save(tmp_path, _learner(), step=1)
    file = folder / "actor.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"actor\.safetensors does not match"):
        load_checkpoint(folder, _learner())


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = _save(tmp_path, _learner("qwen3"), step=1)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(folder, _learner("llama"))


def test_tied_output_heads_are_left_out_and_untied_ones_are_not() -> None:
    assert "lm_head.weight" not in policy_state_dict(tiny_policy(tied=True))
    assert "lm_head.weight" in policy_state_dict(tiny_policy(tied=False))


def test_an_interrupted_writer_leaves_nothing_behind_that_counts(tmp_path: Path) -> None:
    final = tmp_path / "thing"
    with pytest.raises(KeyboardInterrupt):
        _write_half(final)
    assert not final.exists()
    with durable_folder(final) as partial:
        (partial / "whole").write_text("whole")
    assert [file.name for file in final.iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [final]


def test_a_replaced_folder_is_whole_even_if_the_writer_dies_while_deleting_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "thing"
    _write(final, "old")

    def die_half_way(path: Path, ignore_errors: bool = False) -> None:
        if path.exists():
            (path / "first").unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr("vapo.durable.shutil.rmtree", die_half_way)
    with pytest.raises(KeyboardInterrupt):
        _write(final, "new")
    assert {file.name: file.read_text() for file in final.iterdir()} == {"first": "new", "second": "new"}
    monkeypatch.undo()
    _write(final, "newer")
    assert list(tmp_path.iterdir()) == [final]


def _write(final: Path, text: str) -> None:
    with durable_folder(final) as partial:
        for name in ("first", "second"):
            (partial / name).write_text(text)


def _write_half(final: Path) -> None:
    with durable_folder(final) as partial:
        (partial / "half").write_text("half")
        raise KeyboardInterrupt
