"""The demo with every part, and Redis, killed once with SIGKILL while it learns.

    python -m lab.benchmarks.demo_with_kills [--run-dir DIR] [--seed N]

Prints the demo's own output, each kill, and at the end an audit of the ledger: how many samples are
where, and which are lost (none should be).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from vapo.ledger import Ledger
from vapo.ledger.audit import audit
from vapo.local.private_redis import prepare, process_spec, wait_ready
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.supervision.supervisor import Supervisor

KILLED = ("verifier", "gateway", "value", "redis", "generator", "trainer")
SECONDS_BETWEEN_KILLS = 25.0
FIRST_STEP_DEADLINE_SECONDS = 300.0


def main() -> int:
    """Run the demo, kill its parts, audit what is left; exit status 1 if anything was lost."""
    options = _options()
    command = [
        sys.executable,
        "-m",
        "vapo.cli",
        "demo",
        "--run-dir",
        str(options.run_dir),
        "--seed",
        str(options.seed),
        "--fresh",
    ]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    killer = threading.Thread(target=kill_each, args=(options.run_dir, demo), daemon=True)
    killer.start()
    assert demo.stdout is not None
    for line in demo.stdout:
        print(line, end="", flush=True)
    status = demo.wait()
    killer.join(timeout=1)
    found = audit_stopped_run(RunFolder(options.run_dir))
    print(json.dumps({"demo_status": status, **found}))
    return 1 if status or found["lost"] else 0


def kill_each(directory: Path, demo: subprocess.Popen[str]) -> None:
    """One part after the other, once the policy has begun to learn."""
    wait_for_first_step(directory / "metrics.jsonl")
    for name in KILLED:
        time.sleep(SECONDS_BETWEEN_KILLS)
        if demo.poll() is not None:
            print(f"the demo ended before the kill of {name}", flush=True)
            return
        pid = int(RunFolder(directory).pid_file(name).read_text())
        print(f"*** kill -9 {name} (pid {pid})", flush=True)
        os.kill(pid, signal.SIGKILL)


def wait_for_first_step(metrics: Path) -> None:
    """Return when the first policy step is in the run's metrics."""
    deadline = time.monotonic() + FIRST_STEP_DEADLINE_SECONDS
    while not (metrics.exists() and '"step"' in metrics.read_text()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no step within {FIRST_STEP_DEADLINE_SECONDS:.0f} s")
        time.sleep(0.5)


def audit_stopped_run(folder: RunFolder) -> dict[str, object]:
    """Start the run's Redis alone on its files, and look for every sample."""
    supervisor = Supervisor(print)
    server = prepare(folder.redis_directory)
    with tempfile.TemporaryDirectory() as scratch:
        supervisor.start([process_spec(server, Path(scratch) / "log", Path(scratch) / "pid")])
        try:
            wait_ready(server)
            settings = folder.read_settings().model_copy(update={"redis": server.settings})
            outcome = audit(Ledger.open(settings))
        finally:
            supervisor.stop()
    return {"samples": outcome.places, "lost": list(outcome.lost)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="lab.benchmarks.demo_with_kills")
    parser.add_argument("--run-dir", type=Path, default=Path("runs/demo-with-kills"))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
