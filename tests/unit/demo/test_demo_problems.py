"""The demo's problems: disjoint, the same for the same seed, accepted by the gateway's rules."""

from __future__ import annotations

import json
from dataclasses import replace

from vapo.demo.chain.splits import Split, split_of
from vapo.demo.problems import as_jsonl, held_out_rows, training_rows
from vapo.demo.settings import DemoOptions
from vapo.settings import load_settings
from vapo.settings.presets import DEMO

OPTIONS = DemoOptions(train_problems=300, held_out_problems=100)


def test_training_and_held_out_problems_are_disjoint() -> None:
    training = {row["prompt"] for row in training_rows(OPTIONS)}
    held_out = {row["prompt"] for row in held_out_rows(OPTIONS)}
    assert (len(training), len(held_out)) == (300, 100)
    assert training.isdisjoint(held_out)
    assert {split_of(prompt) for prompt in held_out} == {Split.HELD_OUT}


def test_the_seed_changes_what_is_trained_on_and_never_what_is_measured() -> None:
    other = replace(OPTIONS, seed=1)
    assert training_rows(other) != training_rows(OPTIONS)
    assert held_out_rows(other) == held_out_rows(OPTIONS)


def test_jsonl_has_a_row_a_line() -> None:
    lines = as_jsonl(held_out_rows(OPTIONS)).decode().splitlines()
    assert [json.loads(one) for one in lines] == held_out_rows(OPTIONS)


def test_demo_settings_are_valid_and_leave_room_for_every_prompt() -> None:
    settings = load_settings(base=DEMO, environment={})
    room = settings.model.max_context_tokens - settings.sampling.max_new_tokens
    assert settings.model.path.name == "chain-base"
    assert max(len(row["prompt"]) for row in training_rows(OPTIONS)) < room
    assert DemoOptions().held_out_problems >= 200
