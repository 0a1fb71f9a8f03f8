"""`vapo up`: which settings it starts a stack with, and when it ends."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vapo.cli.commands import up
from vapo.cli.errors import CommandError
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.run_folders.run_outcome import note_training
from vapo.local.stack import PARTS, Stack, StackError, names_redis, resolve
from vapo.local.supervision.managed_process import ProcessSpec
from vapo.local.supervision.restarts import RestartPolicy
from vapo.local.supervision.supervisor import Supervisor
from vapo.model.folder.contents import ModelFolderError
from vapo.settings import Settings


def settings_for(*words: str) -> Settings:
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    return up.chosen_settings(parser.parse_args(words))


def test_naming_a_run_gives_it_a_folder_and_changes_nothing_else() -> None:
    settings = settings_for("--run", "mine", "--set", "trainer.max_steps=7")
    assert (settings.run.name, settings.run.directory) == ("mine", Path("runs/mine"))
    assert settings.trainer.max_steps == 7
    assert not names_redis(settings)
    assert not any("port" in getattr(settings, part).model_fields_set for part in PARTS)


@pytest.mark.parametrize("named", ["runs/mine", "runs/mine/", "./runs/mine", "{here}/runs/mine"])
def test_a_run_is_named_by_its_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_for("--run", named.format(here=tmp_path))
    assert settings.run.name == "mine"
    assert (tmp_path / settings.run.directory).resolve() == tmp_path / "runs" / "mine"


@pytest.mark.parametrize("named", ["runs/old", "old", "first", "{here}/runs/old"])
def test_a_run_that_is_here_is_found_by_folder_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, name in (("runs/old", "first"), ("runs/other", "old")):
        kept = settings_for("--set", f"run.name={name}", "--set", f"run.directory={folder}")
        RunFolder(Path(folder)).write_settings(kept)
    settings = settings_for("--run", named.format(here=tmp_path))
    assert (settings.run.name, settings.run.directory) == ("first", Path("runs/old"))


def test_inside_the_folder_of_runs_a_name_is_no_folder_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RunFolder(tmp_path / "mine").write_settings(settings_for("--run", "mine"))
    monkeypatch.chdir(tmp_path)
    assert settings_for("--run", "mine").run.directory == Path("mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert settings_for("--run", ".").run.name == "mine"


def test_a_setting_given_on_the_command_line_wins_over_the_runs_name(tmp_path: Path) -> None:
    settings = settings_for("--run", "2026", "--set", f"run.directory={tmp_path}")
    assert (settings.run.name, settings.run.directory) == ("2026", tmp_path)


def test_a_run_name_that_cannot_be_a_redis_prefix_is_refused() -> None:
    with pytest.raises(CommandError, match=r"run\.name = 'white space'"):
        settings_for("--run", "white space")


def test_a_model_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"--model=.* no config\.json"):
        settings_for("--model", str(tmp_path))


def test_two_stacks_that_start_together_share_no_port_but_perhaps_the_gateways(tmp_path: Path) -> None:
    """Ports chosen before any part is bound: the defaults would be free for both."""
    stacks = [resolve(settings_for(), RunFolder(tmp_path / name)) for name in ("a", "b")]
    ports = [getattr(one, part).port for one in stacks for part in PARTS if part != "gateway"]
    assert len(set(ports)) == len(ports)


def standing_in(folder: Path, trainer: str) -> Stack:
    """A stack whose only part is a trainer that runs `trainer`, a line of Python."""
    supervisor = Supervisor(lambda _: None, RestartPolicy(limit=1))
    run = RunFolder(folder)
    command = (sys.executable, "-c", trainer)
    logs = (run.log_file("trainer"), run.pid_file("trainer"))
    supervisor.start([ProcessSpec("trainer", command, *logs, dict(os.environ), may_finish=True)])
    return Stack(settings_for(), run, supervisor)


def kept_running(stack: Stack, exit_when_done: bool) -> str:
    """The error that `keep_running` ended with within some seconds, or how else it went."""
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(up.keep_running, stack, exit_when_done)
        try:
            ending.result(timeout=6.0)
        except TimeoutError:
            stack.supervisor.failure = "released by the test"
            with pytest.raises(StackError, match="released by the test"):
                ending.result(timeout=10.0)
            return "goes on"
        except StackError as error:
            return str(error)
        finally:
            stack.supervisor.stop()
    return "returned"


@pytest.mark.parametrize(("exit_when_done", "expected"), [(False, "goes on"), (True, "returned")])
def test_a_finished_trainer_ends_the_stack_only_when_that_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exit_when_done: bool, expected: str
) -> None:
    note_training(tmp_path, "finished", 3, 3)
    assert kept_running(standing_in(tmp_path, "pass"), exit_when_done) == expected
    told = "trainer finished at step 3 of 3; evaluations, chat and export go on"
    assert (told in capsys.readouterr().out) == (not exit_when_done)


@pytest.mark.parametrize("exit_when_done", [False, True])
@pytest.mark.parametrize("status", [1, 78])
def test_a_trainer_that_is_given_up_is_an_error_with_its_cause(
    tmp_path: Path, status: int, exit_when_done: bool
) -> None:
    trainer = f"import sys; print('no space left', flush=True); sys.exit({status})"
    said = kept_running(standing_in(tmp_path, trainer), exit_when_done)
    assert "trainer" in said
    assert "no space left" in said
