"""The demo and its trainer: what has failed has not trained."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from vapo.client import GatewayClient
from vapo.demo.display import LineDisplay
from vapo.demo.session import DemoError, Session
from vapo.demo.settings import DemoOptions
from vapo.demo.state import DemoState, load_state
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.stack import Stack, StackError
from vapo.local.supervision.managed_process import ProcessSpec
from vapo.local.supervision.restarts import RestartPolicy
from vapo.local.supervision.supervisor import Supervisor
from vapo.settings import Settings


@pytest.mark.parametrize("budget", [60.0, 0.001], ids=["in training", "at its end"])
@pytest.mark.parametrize("status", [1, 78])
def test_a_trainer_that_fails_for_good_has_not_trained(
    tmp_path: Path, status: int, budget: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    supervisor = Supervisor(lambda _: None, RestartPolicy(limit=1))
    command = (sys.executable, "-S", "-c", f"print('disk full'); raise SystemExit({status})")
    files = (folder.log_file("trainer"), folder.pid_file("trainer"))
    supervisor.start([ProcessSpec("trainer", command, *files, dict(os.environ), may_finish=True)])
    deadline = time.monotonic() + 20
    while supervisor.failure is None and time.monotonic() < deadline:
        time.sleep(0.02)
    state, options = DemoState(0, 0.0, rl_seconds=1.0), DemoOptions(rl_seconds=budget)
    with GatewayClient("http://127.0.0.1:1", None, 0.0) as client:
        monkeypatch.setattr(client, "post", lambda path: None)
        session = Session(Stack(Settings(), folder, supervisor), client, LineDisplay(), options, state, 0.0)
        with pytest.raises(StackError, match="disk full"):
            session._train()
    supervisor.stop()
    assert not state.trained
    kept = load_state(tmp_path)
    assert kept is None or not kept.trained


def test_a_trainer_that_has_not_yet_written_its_checkpoint_has_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever interrupts the wait for it, the next session trains on."""
    state, folder = DemoState(0, 0.0, rl_seconds=1.0), RunFolder(tmp_path)
    stack = Stack(Settings(), folder, Supervisor(lambda _: None))
    monkeypatch.setattr(Stack, "trains", property(lambda _: True))
    monkeypatch.setattr("vapo.demo.session.STOP_DEADLINE_SECONDS", -1.0)
    with GatewayClient("http://127.0.0.1:1", None, 0.0) as client:
        monkeypatch.setattr(client, "post", lambda path: None)
        session = Session(stack, client, LineDisplay(), DemoOptions(rl_seconds=0.5), state, 0.0)
        with pytest.raises(DemoError, match="writing the checkpoint"):
            session._train()
    kept = load_state(tmp_path)
    assert not state.trained
    assert kept is None or not kept.trained
