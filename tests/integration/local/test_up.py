"""`vapo up` with stand-ins as parts: how it fails, what ends it, and what does not."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import subprocess
import termios
from functools import partial
from pathlib import Path

import psutil
import pytest

import vapo
from tests.support.stand_in_stack import command, environment, parts_of, read_until, started
from tests.support.waiting import wait_until
from vapo.local.run_folders.run_folder import RunFolder, RunFolderError

RUN = ["up", "--run", "a"]
BASE_MODEL = Path(vapo.__file__).parent / "assets" / "chain-base"
KEPT = ("settings.json", "settings.history.jsonl")

wait_soon = partial(wait_until, seconds=20)


def ended(words: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command, run until it ends by itself."""
    return subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(**variables),
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )


def all_gone(parts: dict[str, int]) -> bool:
    return not any(psutil.pid_exists(pid) for pid in parts.values())


@pytest.mark.parametrize("when", ["", "ready:"])
@pytest.mark.parametrize("status", [pytest.param(1, marks=pytest.mark.slow), 78])
def test_a_trainer_that_fails_for_good_ends_it_with_its_reason(tmp_path: Path, status: int, when: str) -> None:
    fault = f"{when}print('OSError: no space left', flush=True); raise SystemExit({status})"
    done = ended(RUN, tmp_path, STAND_IN_TRAINER=fault)
    assert done.returncode == 1
    assert "no space left" in done.stderr
    assert str(tmp_path / "runs" / "a" / "logs" / "trainer.log") in done.stderr
    assert "Traceback" not in done.stderr
    again = done.stdout.count("trainer ended (exit status 1): OSError: no space left; starting it")
    assert again == (4 if status == 1 else 0)
    assert parts_of(tmp_path / "runs" / "a") == {}


@pytest.mark.slow
def test_a_part_that_keeps_dying_is_told_with_its_own_reason(tmp_path: Path) -> None:
    fault = "raise ValueError('max_model_len (100000) is greater than the derived max_model_len')"
    done = ended(RUN, tmp_path, STAND_IN_GENERATOR=fault)
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if "generator ended" in line]
    assert len(told) == 4
    assert all("ValueError: max_model_len (100000) is greater" in line for line in told)
    assert "time 4 of 5 before it is given up" in told[-1]
    assert "generator died 5 times" in done.stderr
    assert "ValueError: max_model_len (100000) is greater" in done.stderr.splitlines()[0]
    with pytest.raises(RunFolderError, match="its first start failed: generator died 5 times"):
        RunFolder(tmp_path / "runs" / "a").read_settings()


def test_none_of_a_part_starts_none_and_without_a_trainer_it_serves(tmp_path: Path) -> None:
    with started([*RUN, "--generators", "0", "--trainer-ranks", "0"], tmp_path) as running:
        read_until(running, "not started here: generators, trainer")
        folder = tmp_path / "runs" / "a"
        parts = parts_of(folder)
        assert set(parts) == {"gateway", "verifier", "value", "redis"}
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
        assert all_gone(parts)


def test_under_nohup_a_hangup_is_nothing(tmp_path: Path) -> None:
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with started(RUN, tmp_path, **ignored) as running:
        read_until(running, "Ctrl-C stops everything")
        parts = parts_of(tmp_path / "runs" / "a")
        running.send_signal(signal.SIGHUP)
        for pid in parts.values():
            os.kill(pid, signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(2)
        assert parts_of(tmp_path / "runs" / "a") == parts
        running.terminate()
        assert running.wait(30) == 130
        assert all_gone(parts)


def in_a_terminal() -> None:
    """Take standard input as the terminal, and hear its end also when the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_closed_terminal_stops_everything(tmp_path: Path) -> None:
    near, far = pty.openpty()
    own = {"start_new_session": True, "preexec_fn": in_a_terminal}
    with started(RUN, tmp_path, stdin=far, stdout=far, stderr=far, **own) as running:
        os.close(far)
        said = b""
        while b"Ctrl-C stops everything" not in said:
            said += os.read(near, 4096)
        parts = parts_of(tmp_path / "runs" / "a")
        assert len(parts) == 6
        os.close(near)
        assert running.wait(30) == 130
        assert all_gone(parts)


def test_a_reader_that_goes_leaves_the_stack_running(tmp_path: Path) -> None:
    with started(RUN, tmp_path) as running:
        read_until(running, "starting; logs are in")
        assert running.stdout is not None
        running.stdout.close()
        folder = tmp_path / "runs" / "a"
        wait_soon(lambda: len(parts_of(folder)) == 6)
        first = parts_of(folder)["verifier"]
        os.kill(first, signal.SIGKILL)  # its death is told, and nobody listens
        wait_soon(lambda: parts_of(folder).get("verifier", first) != first)
        assert running.poll() is None
        running.terminate()
        assert running.wait(30) == 130
        wait_soon(lambda: all_gone(parts_of(folder)))


def test_it_runs_without_standard_streams(tmp_path: Path) -> None:
    words = f"exec {' '.join(command(*RUN))} <&- >&- 2>&-"
    running = subprocess.Popen(["sh", "-c", words], cwd=tmp_path, env=environment())
    try:
        wait_soon(lambda: len(parts_of(tmp_path / "runs" / "a")) == 6)
        parts = parts_of(tmp_path / "runs" / "a")
        running.terminate()
        assert running.wait(30) == 130
        assert all_gone(parts)
    finally:
        running.kill()
        running.wait()


def other_model(folder: Path) -> Path:
    """A model of the same form with another tokenizer."""
    shutil.copytree(BASE_MODEL, folder)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(json.dumps(json.loads(tokenizer.read_text()) | {"more": 1}))
    return folder


def started_once(folder: Path, *sets: str) -> str:
    """What a start says that is accepted and then stopped."""
    with started([*RUN, *(word for one in sets for word in ("--set", one))], folder) as running:
        said = read_until(running, "Ctrl-C stops everything")
        running.terminate()
        assert running.wait(30) == 130
    return said


def contents(folder: Path) -> dict[str, bytes]:
    """What a refused start must leave alone."""
    return {name: (folder / name).read_bytes() for name in KEPT if (folder / name).exists()}


@pytest.mark.slow
def test_a_refused_start_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    misconfigured = "print('generator: no such thing', flush=True); raise SystemExit(78)"
    refused = ended(RUN, tmp_path, STAND_IN_GENERATOR=misconfigured)
    assert "no such thing" in refused.stderr
    assert contents(folder) == {}
    started_once(folder.parents[1])
    accepted = contents(folder)
    assert set(accepted) == set(KEPT)
    other = [*RUN, "--set", "trainer.max_steps=7"]
    assert ended(other, tmp_path, STAND_IN_GENERATOR=misconfigured).returncode == 1
    assert contents(folder) == accepted


@pytest.mark.slow
def test_a_start_that_was_killed_before_it_was_accepted_leaves_the_settings(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    started_once(tmp_path)
    accepted = contents(folder)
    waits = {"STAND_IN_GENERATOR": "import time; time.sleep(600)"}
    with started([*RUN, "--set", "trainer.max_steps=7"], tmp_path, waits) as running:
        read_until(running, "starting; logs are in")
        assert contents(folder) != accepted
        running.kill()
    wait_soon(lambda: parts_of(folder) == {})
    assert "settings as at the last start" in started_once(tmp_path)
    assert json.loads(contents(folder)["settings.json"])["trainer"]["max_steps"] == 300


@pytest.mark.parametrize("lost", [(), ("settings.json",), ("settings.history.jsonl",)])
def test_another_model_than_the_runs_is_refused_before_anything_starts(tmp_path: Path, lost: tuple[str, ...]) -> None:
    folder = tmp_path / "runs" / "a"
    started_once(tmp_path)
    for name in lost:
        (folder / name).unlink()
    before = contents(folder)
    outcome = (folder / "outcome.json").read_bytes()
    model = other_model(tmp_path / "other")
    done = ended([*RUN, "--model", str(model)], tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"was begun with the model in {BASE_MODEL}, and model.path={model} has" in done.stderr
    assert "another tokenizer" in done.stderr
    assert "starting" not in done.stdout
    assert contents(folder) == before
    assert (folder / "outcome.json").read_bytes() == outcome


@pytest.mark.slow
def test_a_moved_model_is_the_same_and_one_that_was_replaced_is_not(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(BASE_MODEL, first)
    started_once(tmp_path, f"model.path={first}")
    first.rename(second)
    said = started_once(tmp_path, f"model.path={second}")
    assert f"changed: model.path {first} -> {second}" in said
    shutil.rmtree(second)
    other_model(second)
    done = ended([*RUN, "--model", str(second)], tmp_path)
    assert "and what lies there now has another tokenizer; give the run its" in done.stderr


def test_a_resume_says_the_step_and_what_changed_and_a_history_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    assert "resuming" not in started_once(tmp_path)
    for step in (80, 90, 100):
        (folder / "checkpoints" / f"{step:08d}").mkdir(parents=True)
    for step in (80, 90):
        (folder / "checkpoints" / f"{step:08d}" / "manifest.json").touch()
    said = started_once(tmp_path, "trainer.actor_learning_rate=2e-6", "run.seed=3")
    told = "resuming at step 90; changed: run.seed 0 -> 3, trainer.actor_learning_rate 1e-06 -> "
    assert f"vapo up: {told}2e-06\n" in said
    history = (folder / "settings.history.jsonl").read_text()
    first, second = (json.loads(line) for line in history.splitlines())
    assert (first["changed"], second["step"]) == ({}, 90)
    assert second["changed"]["run.seed"] == [0, 3]
    secrets = json.loads((folder / "settings.json").read_text())["security"].values()
    assert not any(token in history for token in secrets)


def test_a_second_stack_in_one_folder_is_one_line_and_harms_nothing(tmp_path: Path) -> None:
    with started(RUN, tmp_path) as running:
        read_until(running, "Ctrl-C stops everything")
        folder = tmp_path / "runs" / "a"
        before, parts = contents(folder), parts_of(folder)
        done = ended([*RUN, "--set", "run.seed=5"], tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith(f"vapo up: {folder} is in use by another stack; stop that")
        assert done.stderr.count("\n") == 1
        assert (contents(folder), parts_of(folder)) == (before, parts)
        running.terminate()
        assert running.wait(30) == 130
