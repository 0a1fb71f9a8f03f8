"""The command line: overview, unknown commands, exit statuses, start-up time."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from vapo.cli import dispatch, laboratory
from vapo.cli.errors import CommandError
from vapo.cli.registry import COMMANDS, Command


def pretend_module(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> Command:
    """A command whose `run` raises `error`, or returns 3."""

    def run(arguments: argparse.Namespace) -> int:
        if error:
            raise error
        return 3

    module = types.ModuleType("pretend_command")
    module.add_arguments = lambda parser: None  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pretend_command", module)
    return Command("pretend", "pretend_command", "")


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command.name in shown and command.summary in shown for command in COMMANDS)


def test_overview_says_what_a_checkout_alone_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dispatch.main(["--help"])
    assert "\nFor study, of this checkout's lab/:\n" in capsys.readouterr().out
    monkeypatch.setattr(laboratory, "CHECKOUT", tmp_path)
    dispatch.main(["--help"])
    assert "\nFor study, only in a checkout of the project, which this is not:\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ablate", "base-model"])
def test_without_a_checkout_a_command_of_the_laboratory_says_where_to_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(laboratory, "CHECKOUT", tmp_path)
    assert dispatch.main([name, "--help"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"vapo {name}: belongs to a checkout of the project")
    assert f"`.venv/bin/vapo {name}`" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["ablate", "base-model"])
def test_a_command_of_the_laboratory_has_its_own_options_and_statuses(name: str) -> None:
    def status_and_words(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-P", "-m", "vapo.cli", name, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    status, said = status_and_words("--help")
    assert (status, said.partition(" [")[0]) == (0, f"usage: vapo {name}")
    status, said = status_and_words("--no-such")
    assert (status, said.count("\n")) == (2, 1)
    assert said.endswith(f"; vapo {name} --help shows the options\n")


def test_an_unknown_command_is_named_with_the_nearest_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main(["sumbit"]) == 2
    assert "did you mean 'submit'?" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "status"), [(None, 3), (CommandError("no run"), 1), (KeyboardInterrupt(), 130)])
def test_exit_status(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, status: int) -> None:
    assert dispatch.carry_out(pretend_module(monkeypatch, error), []) == status


def test_every_command_has_its_module() -> None:
    missing = [one.name for one in COMMANDS if importlib.util.find_spec(one.module) is None]
    assert missing == []


def test_help_answers_at_once_and_imports_nothing_heavy() -> None:
    heavy = ["torch", "vllm", "transformers", "pydantic", "fastapi", "redis", "numpy"]
    code = (
        "import sys\nfrom vapo.cli import main\nmain(['--help'])\n"
        f"sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or 0)\n"
    )
    started = time.monotonic()
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert time.monotonic() - started < 5.0
