"""`vapo demo` as a person runs it: interrupted in the middle, resumed, and finished."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.liveness import alive
from vapo.demo.state import load_state

SETTINGS = (
    "trainer.prompts_per_step=4",
    "sampling.samples_per_prompt=4",
    "trainer.mini_batch_rollouts=8",
    "value_pretraining.max_steps=1",
)
STOP_SECONDS = 30.0
TRAINING_DEADLINE_SECONDS = 240.0


def command(folder: Path) -> list[str]:
    words = [sys.executable, "-m", "vapo.cli", "demo", "--run-dir", str(folder)]
    words += ["--seconds", "15", "--problems", "12", "--samples", "2"]
    ports = [f"{part}.port=0" for part in ("gateway", "generator", "verifier", "value", "trainer")]
    return words + [word for one in (*SETTINGS, *ports) for word in ("--set", one)]


def heed_interrupts() -> None:
    """As in a terminal: what a shell starts in the background is born deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command(folder), stdout=output, stderr=output, preexec_fn=heed_interrupts)


def wait_for(log: Path, text: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + TRAINING_DEADLINE_SECONDS
    while text not in log.read_text():
        assert process.poll() is None, f"the demo ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"no {text!r} in time:\n{log.read_text()}"
        time.sleep(0.2)


def running_on(folder: Path) -> list[str]:
    """Command lines of all live processes that name the run's folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status", "pid"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(folder) in " ".join(words):
            found.append(" ".join(words))
    return found


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_ctrl_c_leaves_nothing_running_and_the_next_start_resumes(tmp_path: Path) -> None:
    folder, log = tmp_path / "run", tmp_path / "demo.log"
    first = started(folder, log)
    wait_for(log, "reinforcement learning: step", first)
    descendants = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGINT)
    assert first.wait(STOP_SECONDS) == 130
    assert running_on(folder) == []
    assert [one for one in descendants if alive(one)] == []
    interrupted = load_state(folder)
    assert interrupted is not None
    assert interrupted.before is not None
    assert not interrupted.finished
    assert "The same command resumes" in log.read_text()

    second = started(folder, log)
    assert second.wait(TRAINING_DEADLINE_SECONDS) == 0, log.read_text()
    assert log.read_text().startswith("resuming ")
    found = json.loads(log.read_text().splitlines()[-1])
    assert found["rl_seconds"] >= 15.0
    assert found["seconds"] > interrupted.seconds
    assert found["accuracy_before"] == round(interrupted.before.accuracy, 4)
    assert 0.0 <= found["accuracy_after"] <= 1.0
    assert found["steps"] >= 1
    assert Path(found["plot"]).stat().st_size > 10_000
    assert running_on(folder) == []
