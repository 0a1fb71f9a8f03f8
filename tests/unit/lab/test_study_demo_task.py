"""The demo's task in the study: its problems, its verdict, its settings, a run of it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from lab.base_model.demonstrations import demonstrate
from lab.study.configuration import Configuration, from_json, to_json
from lab.study.demo_task import DemoTask
from lab.study.run import run
from lab.study.staleness_regimes import REGIMES
from services.verifier.judgement.math_answer import judge_cheaply
from services.verifier.judgement.verdicts import Outcome
from vapo.demo.chain.chain import parse_problem
from vapo.demo.chain.splits import Split
from vapo.demo.problems import training_rows
from vapo.demo.settings import DemoOptions
from vapo.settings import AlgorithmSettings, Settings
from vapo.settings.presets import DEMO as DEMO_PRESET

DEMO = REGIMES["demo"]


def test_problems_are_the_demos_in_the_same_order() -> None:
    rows = training_rows(DemoOptions(seed=3, train_problems=40))
    assert list(islice(DemoTask().prompts(Split.TRAIN, 3), 40)) == [row["prompt"] for row in rows]


def test_the_verdict_is_the_verifiers() -> None:
    task, generator = DemoTask(), random.Random(0)
    verdicts = set()
    for prompt in islice(task.prompts(Split.HELD_OUT, 0), 100):
        problem = parse_problem(prompt)
        whole = demonstrate(problem, 0.5, generator)
        for response in (
            whole,
            whole[:-1],
            f"\\boxed{{7}}{whole}",
            f"{whole}\n\\boxed{{-3}}",
            "",
            f"\n{problem.answer}",
            f"\\boxed{{{problem.answer}}}{whole[:-8]}",
        ):
            judgement = judge_cheaply(response, str(problem.answer))
            assert judgement is not None
            expected = judgement.outcome is Outcome.CORRECT
            assert task.is_correct(prompt, response) == expected, (prompt, response)
            verdicts.add(expected)
    assert verdicts == {True, False}


def test_the_regime_has_the_demos_settings() -> None:
    settings = DEMO_PRESET
    trainer, sampling = settings["trainer"], settings["sampling"]
    assert DEMO.actor_learning_rate == trainer["actor_learning_rate"]
    assert DEMO.critic_learning_rate == trainer["critic_learning_rate"]
    assert DEMO.warmup_steps == trainer["warmup_steps"]
    assert DEMO.samples_per_prompt == sampling["samples_per_prompt"]
    assert DEMO.max_new_tokens == sampling["max_new_tokens"]
    rollouts = trainer["prompts_per_step"] * sampling["samples_per_prompt"]
    assert DEMO.mini_batches == rollouts // trainer["mini_batch_rollouts"]
    options = Configuration("vapo", 0, DEMO).algorithm_settings()
    assert options.alpha == settings["algorithm"]["alpha"]
    assert options.correction == AlgorithmSettings().correction
    assert (Settings().model.path.name, DemoOptions().held_out_problems) == (DemoTask().base, DEMO.held_out_problems)


def test_its_configuration_survives_the_json_form() -> None:
    configuration = Configuration("vapo", 1, replace(DEMO, critic_epochs=3))
    assert from_json(json.loads(json.dumps(to_json(configuration)))) == configuration


def test_fields_that_say_nothing_are_left_out_of_the_json_form() -> None:
    record = to_json(Configuration("vapo", 1, DEMO))["regime"]
    assert "critic_epochs" not in record
    assert record["warmup_steps"] == 2


@pytest.mark.slow
def test_a_run_starts_from_the_shipped_base(tmp_path: Path) -> None:
    small = replace(
        DEMO,
        rollout_budget=48,
        rollouts_per_step=16,
        pretraining_steps=1,
        held_out_problems=40,
        held_out_samples=1,
        critic_epochs=2,
        critic_mini_batches=4,
    )
    result = run(Configuration("vapo", 0, small), tmp_path)
    assert 0.05 < result.accuracy < 0.7
    assert [row["phase"] for row in result.curve] == ["value pretraining", *["reinforcement learning"] * 2]
    assert {"sampling", "critic", "actor"} <= result.phases.keys()
    assert not list(tmp_path.iterdir())
