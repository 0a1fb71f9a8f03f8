"""With which status ranks under our torchrun end together."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vapo.local.environment import part_environment
from vapo.processes.python_module import module_command

pytestmark = pytest.mark.slow

OPTIONS = ("--standalone", "--nproc-per-node", "2", "--monitor-interval", "0.1")
RANK = "import os, signal, sys, time; rank = int(os.environ['RANK']); "
WAITS = "time.sleep(60)"


@pytest.mark.parametrize(
    ("does", "status"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(78)", 78),
        (f"sys.exit(78) if rank == 0 else {WAITS}", 78),
        (f"sys.exit(69) if rank == 1 else {WAITS}", 69),
        (f"sys.exit(1) if rank == 1 else {WAITS}", 1),
        (f"os.kill(os.getpid(), signal.SIGKILL) if rank == 0 else {WAITS}", 137),
    ],
)
def test_the_status_is_the_ranks(does: str, status: int, tmp_path: Path) -> None:
    program = tmp_path / "rank.py"
    program.write_text(RANK + does, encoding="utf-8")
    done = subprocess.run(
        module_command("trainer.ranks.torchrun", *OPTIONS, str(program)),
        capture_output=True,
        text=True,
        env=part_environment(os.environ, on_gpu=False),
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
