"""The trainer's Job, its command run for real: two nodes, one interrupted, both made again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trainer.test_trainer_process import PER_STEP, Run, make_run
from tests.support.kubernetes import rendering
from tests.support.kubernetes.objects import container, environment, expanded, of_kind
from vapo.local.ports import free_ports
from vapo.settings import dump_settings

__all__ = ["make_run"]

NODES = 2
STEPS = 4
END_SECONDS = 150


def node_command(index: int, port: int, config: Path) -> list[str]:
    """What pod ``index`` of the Job runs, with this machine in the place of the first pod."""
    job = of_kind(rendering.overlay("cpu"), "Job")["vapo-trainer"]
    template = job["spec"]["template"]
    variables = {
        **environment(rendering.overlay("cpu"), template),
        "TRAINER_NODES": str(NODES),
        "JOB_COMPLETION_INDEX": str(index),
    }
    replaced = {"python": sys.executable, "/etc/vapo/settings.toml": str(config)}
    command = [replaced.get(word, word) for word in expanded(container(template)["command"], variables)]
    command = [
        "--master-addr=127.0.0.1"
        if word.startswith("--master-addr=")
        else f"--master-port={port}"
        if word.startswith("--master-port=")
        else word
        for word in command
    ]
    return [*command, "--set", "trainer.port=0"]


@contextmanager
def running_nodes(config: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """All nodes of the Job as processes."""
    [port] = free_ports(1)
    nodes = [
        subprocess.Popen(
            node_command(index, port, config),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for index in range(NODES)
    ]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait(END_SECONDS)


class Nodes:
    """The nodes as what :meth:`Run.wait` asks: whether they run."""

    def __init__(self, nodes: list[subprocess.Popen[bytes]]) -> None:
        self.process, self._nodes = self, nodes

    def exit_status(self) -> int | None:
        return self._nodes[0].poll()

    def log_tail(self, lines: int) -> str:
        return f"(the nodes' output is not kept, {lines} lines or fewer)"


@pytest.mark.slow
def test_an_interrupted_node_finishes_no_node_and_all_resume(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run("nodes", trainer={"max_steps": STEPS, "checkpoint_every_steps": 50})
    config = tmp_path / "nodes.json"
    config.write_text(json.dumps(dump_settings(run.settings)), encoding="utf-8")
    run.rollouts.submit(2 * PER_STEP // 2)
    with running_nodes(config) as nodes:
        watched: Any = Nodes(nodes)
        run.wait(lambda: run.steps_done() == 2, "step 2", watched)
        nodes[0].terminate()
        assert 0 not in [node.wait(END_SECONDS) for node in nodes]
    assert run.states() == ["acknowledged"] * 2 * PER_STEP
    run.rollouts.submit((STEPS - 2) * PER_STEP // 2, first=PER_STEP)
    with running_nodes(config) as nodes:
        assert [node.wait(END_SECONDS) for node in nodes] == [0] * NODES
    assert run.steps_done() == STEPS
    assert run.states() == ["acknowledged"] * STEPS * PER_STEP
