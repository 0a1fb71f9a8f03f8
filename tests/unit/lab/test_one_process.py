"""The one page: it learns, its steps agree with the trainer's own, and it stays a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lab import one_process
from lab.one_process import DIFFERENCES, OneProcess, assemble, run
from trainer.learning.batch import RolloutBatch
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from vapo.settings import Settings, load_settings
from vapo.settings.presets import preset

PROMPTS = ["58+48-29=?", "11+22+33=?", "90-45+16=?", "10+20-15=?"] * 2


def _settings(*differences: str) -> Settings:
    return load_settings(None, [*DIFFERENCES, *differences], {}, base=preset("demo"))


@pytest.fixture
def process() -> OneProcess:
    """The demo's start policy."""
    return assemble(_settings("trainer.mini_batch_rollouts=4"))


def test_it_is_one_page() -> None:
    assert len(Path(one_process.__file__).read_text("utf-8").splitlines()) <= 150


def test_a_fault_of_task_or_verifier_leaves_a_rollout_out(process: OneProcess) -> None:
    judge = process.judge
    process.judge = lambda prompt, text: judge(prompt if prompt.startswith("5") else "no problem", text)
    with pytest.raises(ValueError, match="no problem"):
        process.roll_out(PROMPTS)
    faulty = type(judge(PROMPTS[0], ""))("error", None, None, "the reference cannot be read")
    process.judge = lambda prompt, text: judge(prompt, text) if prompt.startswith("5") else faulty
    assert [row.task_id for row in process.roll_out(PROMPTS)] == [PROMPTS[0]] * 2


def test_the_verdict_is_the_verifiers_and_not_the_rewards_sign(process: OneProcess) -> None:
    right, wrong = process.judge("58+48-29=?", "so \\boxed{77}"), process.judge("58+48-29=?", "\\boxed{78}")
    assert (right.correct, right.reward, wrong.correct, wrong.reward) == (True, 1.0, False, -1.0)


def test_values_of_the_value_service_are_those_the_trainer_would_score(process: OneProcess) -> None:
    """An update on scored rows and one on rows without values, from the same weights, are the same step."""
    rows = process.roll_out(PROMPTS)
    torch.nn.init.normal_(process.learner.required_critic()[0].value_head.weight, std=0.1)
    scored = process.score(rows)
    assert all(row.critic_version == 0 and row.values is not None for row in scored)
    other = assemble(_settings("trainer.mini_batch_rollouts=4"))
    other.learner.required_critic()[0].load_state_dict(process.learner.required_critic()[0].state_dict())
    one, two = (
        update(learner, RolloutBatch(batch), StepTimer())
        for learner, batch in ((process.learner, scored), (other.learner, rows))
    )
    assert (one.rescored_fraction, two.rescored_fraction) == (0.0, 1.0)
    torch.testing.assert_close(one.values, two.values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.log_probs, two.log_probs, atol=1e-3, rtol=1e-3)


def test_what_is_published_is_what_the_generator_samples_from(process: OneProcess, tmp_path: Path) -> None:
    update(process.learner, RolloutBatch(process.score(process.roll_out(PROMPTS))), StepTimer())
    trained, held = process.learner.policy.causal_lm.lm_head.weight, process.actor.lm_head.weight
    assert not torch.equal(trained, held)
    process.publish(tmp_path, 1)
    assert torch.equal(trained, held)
    assert {row.oldest_version for row in process.roll_out(PROMPTS)} == {1}


@pytest.mark.slow
def test_it_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before, after = run(_settings("trainer.max_steps=14"), 100, tmp_path)
    torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    rewards = [float(line.split("reward ")[1].split()[0]) for line in lines]
    assert len(rewards) == 14
    assert np.mean(rewards[-4:]) > np.mean(rewards[:4]) + 0.1
    assert after > before + 0.08
