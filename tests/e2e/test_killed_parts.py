"""The whole stack with real vLLM: each process and Redis is killed once, and no prompt is lost."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from vapo.demo.chain.problem_sets import problem_set, to_record
from vapo.demo.chain.splits import Split
from vapo.ledger import Ledger
from vapo.local.stack import Stack, running_stack
from vapo.settings import Settings, load_settings

PROMPTS_PER_STEP, SAMPLES = 4, 4
STEPS_BETWEEN_KILLS = 1
KILLED = ("gateway", "verifier", "value", "generator", "trainer", "redis")
PROMPTS = PROMPTS_PER_STEP * 14
DEADLINE_SECONDS = 240.0
FINAL_STATES = {"acknowledged", "trained"}


def _settings(directory: Path) -> Settings:
    return load_settings(
        environment={},
        assignments=[
            "run.name=killed",
            f"run.directory={directory}",
            *(f"{part}.port=0" for part in ("gateway", "generator", "verifier", "value", "trainer")),
            f"trainer.prompts_per_step={PROMPTS_PER_STEP}",
            f"sampling.samples_per_prompt={SAMPLES}",
            "sampling.max_new_tokens=128",
            "trainer.mini_batch_rollouts=8",
            "trainer.max_steps=1000",
            "trainer.actor_learning_rate=1e-4",
            "trainer.critic_learning_rate=1e-3",
            "trainer.checkpoint_every_steps=2",
            "value_pretraining.max_steps=1",
            "ledger.lease_seconds=4",
            "ledger.heartbeat_seconds=0.5",
            "ledger.max_staleness=2",
            "generator.max_concurrent_sequences=32",
            "generator.cpu_kv_cache_gib=0.3",
        ],
    )


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running_stack(_settings(tmp_path / "run"), print) as stack:
        stack.wait_ready()
        yield stack


def _client(stack: Stack) -> httpx.Client:
    token = stack.settings.security.admin_token
    assert token is not None
    return httpx.Client(
        base_url=stack.gateway_url, timeout=30, headers={"Authorization": f"Bearer {token.get_secret_value()}"}
    )


def _wait(what: str, holds: Callable[[], bool], stack: Stack) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        stack.check()
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_SECONDS} s"
        time.sleep(0.2)


def _kill(stack: Stack, name: str) -> None:
    before = stack.supervisor.pids()[name]
    assert before is not None, f"{name} is not running"
    os.kill(before, signal.SIGKILL)
    _wait(f"restart of {name}", lambda: stack.supervisor.pids()[name] not in (None, before), stack)


def _states(ledger: Ledger) -> Counter[str]:
    ids = [f"prompt-{number}.{sample}" for number in range(PROMPTS) for sample in range(SAMPLES)]
    return Counter(rollout.state if rollout else "missing" for rollout in ledger.rollouts(ids))


def _submit(stack: Stack) -> None:
    rows = [
        {**to_record(problem), "id": f"prompt-{number}"}
        for number, problem in enumerate(problem_set(Split.TRAIN, PROMPTS, seed=5))
    ]
    answer = _client(stack).post("/v1/prompts", json={"prompts": rows})
    assert (answer.status_code, answer.json()["accepted"]) == (202, PROMPTS), answer.text


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_no_prompt_is_lost_when_every_part_is_killed_once(stack: Stack) -> None:
    ledger = Ledger.open(stack.settings)
    _submit(stack)
    for name in KILLED:
        done = ledger.counters().get("trained", 0)
        batch = PROMPTS_PER_STEP * SAMPLES
        _wait(
            f"a step before the kill of {name}",
            lambda goal=done + STEPS_BETWEEN_KILLS * batch: ledger.counters().get("trained", 0) >= goal,
            stack,
        )
        _kill(stack, name)
    _wait(
        "training of every rollout",
        lambda: sum(_states(ledger)[state] for state in FINAL_STATES) == PROMPTS * SAMPLES,
        stack,
    )
    assert ledger.dead_letters.list() == []
    assert all(
        _client(stack).get(f"/v1/prompts/prompt-{number}").json()["state"] == "done" for number in range(PROMPTS)
    )
    assert stack.supervisor.restarts() == dict.fromkeys(KILLED, 1)
