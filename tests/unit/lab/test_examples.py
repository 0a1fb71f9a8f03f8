"""The examples stay usable: settings resolve, rows pass the gateway's checks, commands parse."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from services.gateway.rows.row import Row, parse_row
from vapo.cli.registry import find
from vapo.cli.sending.problem_file import read_problems
from vapo.data_files.mapping import ColumnOptions
from vapo.settings import Settings, load_settings

EXAMPLES = Path(__file__).parents[3] / "examples"
GSM8K = EXAMPLES / "gsm8k"
SETTINGS_FILES = sorted(file for file in EXAMPLES.glob("*/*.toml") if file.name != "pyproject.toml")
SAMPLES = {"train-sample.jsonl": 64, "test-sample.jsonl": 32}
COLUMNS = ColumnOptions("question", "answer", re.compile("#### (.*)"))
"""As the README's commands name them."""
WORDS_DIGITS_SIGNS = re.compile(r"\d|[^\W\d]+|[^\w\s]")
"""A lower bound of the tokens that a text has for a tokenizer that splits digits."""


def rows_of(name: str) -> list[Row]:
    problems = read_problems(GSM8K / name, COLUMNS).problems
    return [parse_row(number, problem) for number, problem in zip(problems.numbers, problems.problems, strict=True)]


def settings_of(file: Path) -> Settings:
    return load_settings(file, environment={})


def commands_of(readme: Path) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["vapo"]]


def parser_of(name: str) -> argparse.ArgumentParser:
    command = find(name)
    assert command is not None, f"vapo has no command {name!r}"
    parser = argparse.ArgumentParser(prog=f"vapo {name}", exit_on_error=False)
    importlib.import_module(command.module).add_arguments(parser)
    return parser


@pytest.mark.parametrize("file", SETTINGS_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_settings_resolve_and_name_a_run_folder_of_their_own(file: Path) -> None:
    run = settings_of(file).run
    assert run.name == f"{file.parent.name}-{file.stem}"
    assert run.directory == Path("runs") / run.name


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_row_becomes_a_problem_with_a_number_as_answer(name: str) -> None:
    rows = rows_of(name)
    assert len(rows) == SAMPLES[name]
    for row in rows:
        assert row.prompt
        assert re.fullmatch(r"[\d,.]+", row.answer), row.answer


def test_train_and_test_samples_share_no_question() -> None:
    train, test = ({row.prompt for row in rows_of(name)} for name in SAMPLES)
    assert not train & test


@pytest.mark.parametrize("file", SETTINGS_FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_the_longest_question_leaves_half_the_room_for_prompts_free(file: Path) -> None:
    settings = settings_of(file)
    room = settings.model.max_context_tokens - settings.sampling.max_new_tokens
    prompts = [row.prompt or "" for name in SAMPLES for row in rows_of(name)]
    assert max(len(WORDS_DIGITS_SIGNS.findall(prompt)) for prompt in prompts) <= room / 2


def test_every_command_of_the_readme_is_one_that_vapo_takes() -> None:
    commands = commands_of(GSM8K / "README.md")
    assert [words[0] for words in commands] == ["up", "eval", "submit", "watch", "eval", "export"]
    for name, *words in commands:
        parser_of(name).parse_args(words)


def test_files_the_readme_names_in_commands_exist() -> None:
    named = {word for words in commands_of(GSM8K / "README.md") for word in words if word.startswith("examples/")}
    assert len(named) == 3
    for name in named:
        assert (EXAMPLES.parent / name).is_file(), name
