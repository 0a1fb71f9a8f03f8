"""torchrun as several hosts use it: one agent a node, here all of them on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from vapo.local.ports import free_ports

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 200.0


def run_on_nodes(
    nodes: int, ranks_per_node: int, program: Sequence[str], environments: Sequence[Mapping[str, str]] = ()
) -> None:
    """Run ``program`` (what follows torchrun's own options) and wait for all agents.

    Args:
        environments: variables of each node's processes, besides this process's.

    Raises:
        AssertionError: an agent failed or missed the deadline; the text is the end of its output.
    """
    port = free_ports(1)[0]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes",
        str(nodes),
        "--nproc-per-node",
        str(ranks_per_node),
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        str(port),
    ]
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"node-{node}.log" for node in range(nodes)]
        agents = [
            _start([*command, "--node-rank", str(node), *program], log, environments[node] if environments else {})
            for node, log in enumerate(logs)
        ]
        try:
            failed = _wait(agents)
        finally:
            _end(agents)
        output = "\n".join(log.read_text(encoding="utf-8")[-3000:] for log in logs)
        assert not failed, f"agents {failed} failed:\n{output}"


def _start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # gloo listens where the host's name leads unless it is told an interface.
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "GLOO_SOCKET_IFNAME": "lo",
        **environment,
    }
    with log.open("wb") as stream:
        return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=stream, stderr=subprocess.STDOUT)


def _end(agents: Sequence[subprocess.Popen[bytes]]) -> None:
    """SIGTERM first: an agent that is killed leaves its ranks behind."""
    for agent in agents:
        agent.terminate()
    for agent in agents:
        try:
            agent.wait(timeout=40)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait(timeout=10)


def _wait(agents: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Numbers of the agents that failed; the others' end is not waited for once one has."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(agent.poll() is None for agent in agents):
        failed = [number for number, agent in enumerate(agents) if agent.poll()]
        if failed or time.monotonic() > deadline:
            return failed or list(range(len(agents)))
        time.sleep(0.1)
    return [number for number, agent in enumerate(agents) if agent.returncode]
