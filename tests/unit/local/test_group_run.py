"""A run with a group estimator has no critic anywhere: none trained, published or saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.trainer_cases import ALONE, random_rows, tiny_folder, tiny_learner, trainer_settings
from trainer.assembly import build_learner
from trainer.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.publish import Publisher
from trainer.records.position import RunPosition
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.stack import PARTS, Shape, parts_to_start, resolve
from vapo.settings import AlgorithmSettings, Settings, load_settings
from vapo.settings.presets import preset


def _settings(name: str, folder: Path) -> Settings:
    ports = [f"{part}.port=0" for part in PARTS]
    return load_settings(None, [f'model.path="{folder}"', *ports], {}, preset(name))


def _learner() -> Learner:
    algorithm = AlgorithmSettings(estimator="group", drop_uniform_groups=True)
    return tiny_learner(algorithm=algorithm, trainer=trainer_settings(mini_batch_rollouts=6), has_critic=False)


@pytest.mark.parametrize("name", ["grpo", "dapo"])
def test_no_critic_is_built_and_no_value_service_started(tmp_path: Path, name: str) -> None:
    settings = _settings(name, tiny_folder(tmp_path / "model"))
    learner = build_learner(settings, ALONE)
    assert learner.critic is None
    folder = RunFolder(tmp_path / "run")
    specs, awaited = parts_to_start(resolve(settings, folder), folder, Shape(), frozenset())
    assert {spec.name for spec in specs} == set(awaited) == {*PARTS} - {"value"}


def test_a_run_without_a_critic_trains_publishes_saves_and_resumes(tmp_path: Path) -> None:
    learner = _learner()
    result = update(learner, RolloutBatch(random_rows(12)), StepTimer())
    assert "policy/loss" in result.metrics
    assert "value/loss" not in result.metrics
    folder = save_checkpoint(tmp_path, learner, RunPosition(step=1), {})
    assert not list(folder.glob("critic*"))
    again = _learner()
    load_checkpoint(folder, again)
    for name, tensor in learner.policy.state_dict().items():
        assert torch.equal(again.policy.state_dict()[name], tensor)
    assert again.policy_optimiser.steps_taken == 2
    with pytest.raises(ValueError, match="no critic"):
        learner.required_critic()


def test_a_checkpoint_without_a_critic_is_refused_where_one_is_needed(tmp_path: Path) -> None:
    settings = _settings("vapo", tiny_folder(tmp_path / "model"))
    folder = save_checkpoint(tmp_path / "c", _learner(), RunPosition(), {})
    learner = build_learner(settings, ALONE)
    with pytest.raises(CheckpointError, match="has no critic"):
        load_checkpoint(folder, learner)


def test_nothing_of_a_critic_is_published(tmp_path: Path) -> None:
    class Channel:
        """Notes what is announced."""

        def announce(self, manifest: object) -> None:
            self.manifest = manifest

    channel = Channel()
    publisher = Publisher(tmp_path, channel, _learner())  # type: ignore[arg-type]
    assert publisher.publish(0) == 1
    assert {path.name for path in (tmp_path / "00000001").glob("*.safetensors")} == {"actor.safetensors"}
