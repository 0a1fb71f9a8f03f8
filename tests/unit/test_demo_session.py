"""The demo and its trainer: what has failed has not trained."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from vapo.client import GatewayClient
from vapo.demo.display import LineDisplay
from vapo.demo.session import Session
from vapo.demo.settings import DemoOptions
from vapo.demo.state import DemoState, load_state
from vapo.processes.managed import ProcessSpec
from vapo.processes.restarts import RestartPolicy
from vapo.processes.supervisor import Supervisor
from vapo.run_folder import RunFolder
from vapo.settings import Settings
from vapo.stack import Stack, StackError


@pytest.mark.parametrize("status", [1, 78])
def test_a_trainer_that_fails_for_good_has_not_trained(tmp_path: Path, status: int) -> None:
    folder = RunFolder(tmp_path)
    supervisor = Supervisor(lambda _: None, RestartPolicy(limit=1))
    command = (sys.executable, "-S", "-c", f"print('disk full'); raise SystemExit({status})")
    files = (folder.log_file("trainer"), folder.pid_file("trainer"))
    supervisor.start([ProcessSpec("trainer", command, *files, dict(os.environ), may_finish=True)])
    deadline = time.monotonic() + 20
    while supervisor.failure is None and time.monotonic() < deadline:
        time.sleep(0.02)
    state = DemoState(0, 0.0)
    with GatewayClient("http://127.0.0.1:1", None, 0.0) as client:
        session = Session(
            Stack(Settings(), folder, supervisor), client, LineDisplay(), DemoOptions(), state, 0.0
        )
        with pytest.raises(StackError, match="disk full"):
            session._train()
    supervisor.stop()
    assert not state.trained
    kept = load_state(tmp_path)
    assert kept is None or not kept.trained
