"""Numbers, amounts and paths on the command line; every count of every command has a bound."""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapo.cli import dispatch
from vapo.cli.registry import COMMANDS
from vapo.local.stack import Shape
from vapo.option_types import above, amount, at_least, path, whole
from vapo.settings import Settings

UNBOUNDED = (int, float)
FREE = {"--temperature", "--top-p"}
"""Judged by the gateway, which knows the limits of the engine."""


@given(least=st.integers(-5, 5), number=st.integers())
def test_whole_numbers_keep_their_bound(least: int, number: int) -> None:
    if number >= least:
        assert whole(least)(str(number)) == number
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="is below"):
            whole(least)(str(number))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "", "many", "-1e-9"])
def test_what_is_no_finite_number_within_bounds_is_refused(text: str) -> None:
    for read in (whole(0), at_least(0), above(0)):
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)


@pytest.mark.parametrize(
    ("text", "number"), [("7.6e9", 7.6e9), ("7B", 7e9), ("1.5b", 1.5e9), ("600M", 6e8), ("12k", 12e3), ("1T", 1e12)]
)
def test_amounts_as_people_write_them(text: str, number: float) -> None:
    assert math.isclose(amount(text), number)


@pytest.mark.parametrize("text", ["0", "0B", "-7B", "B", "", "7 Bn", "nan", "infB"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no amount"):
        amount(text)


def test_a_home_folder_is_understood_where_the_shell_left_it() -> None:
    assert path("~/runs/x") == Path.home() / "runs" / "x"
    assert Settings.model_validate({"run": {"directory": "~/runs/x"}}).run.directory == (Path.home() / "runs" / "x")


def options() -> Iterator[tuple[str, argparse.Action]]:
    """Every command's name with each of its options and arguments."""
    for command in COMMANDS:
        parser = argparse.ArgumentParser()
        if command.in_checkout:
            parser = importlib.import_module(f"{command.module}.__main__").parser()
        else:
            importlib.import_module(command.module).add_arguments(parser)
        yield from ((command.name, action) for action in parser._actions)


def test_every_number_of_every_command_has_a_lower_bound() -> None:
    unbounded = [
        f"{name} {flag}"
        for name, action in options()
        for flag in action.option_strings[-1:]
        if action.type in UNBOUNDED and flag not in FREE
    ]
    assert unbounded == []


def test_every_path_of_every_command_understands_the_home_folder() -> None:
    assert [(name, action.dest) for name, action in options() if action.type is Path] == []
    assert sum(action.type is path for _, action in options()) > 9


@pytest.mark.parametrize("option", ["generators", "verifiers", "values", "trainer-ranks"])
def test_a_negative_count_starts_nothing(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        dispatch.main(["up", f"--{option}", "-1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"vapo up: argument --{option}: -1 is below 0; vapo up --help shows the options\n"
    )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="is below 0"):
        Shape(**{option.replace("-", "_"): -1})


@pytest.mark.parametrize(
    "words",
    [
        ["--generators", "0"],
        ["--samples", "0"],
        ["--prompts", "-1"],
        ["--gpus", "0"],
        ["--parameters", "0B"],
        ["--steps", "0"],
        ["--sequences", "0"],
        ["--trainer-rate", "0"],
        ["--uplink", "0"],
        ["--spread", "-0.1"],
        ["--mean-length", "nan"],
    ],
)
def test_a_plan_of_nothing_is_refused_in_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    usual = ["--parameters", "7B", "--generator-rate", "9000", "--trainer-rate", "60000"]
    with pytest.raises(SystemExit) as ended:
        dispatch.main(["plan", *usual, *words])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"vapo plan: argument {words[0]}: ")
    assert told.count("\n") == 1
