"""Kill, stop and restart a real generator: nothing is lost, nothing is left running."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.ledger_records import task
from tests.support.liveness import alive
from tests.support.parts import Part
from tests.support.running_redis import RunningRedis
from tests.support.tiny_generator import TinyGenerator, tiny_settings
from tests.support.waiting import wait_until
from vapo.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

TASKS, SAMPLES = 40, 4


@pytest.fixture
def generator(tmp_path: Path, own_redis: RunningRedis) -> Iterator[TinyGenerator]:
    """A generator that is not started yet."""
    settings = tiny_settings(tmp_path, own_redis.settings, "lifecycle", sampling={"max_new_tokens": 400})
    generator = TinyGenerator(tmp_path, settings)
    yield generator
    generator.stop()


@pytest.fixture
def ledger(generator: TinyGenerator) -> Iterator[Ledger]:
    """Its ledger."""
    ledger = Ledger.open(generator.settings)
    yield ledger
    ledger.redis.close()


def engines_of(part: Part) -> list[psutil.Process]:
    """Processes the part has started: vLLM's engine among them."""
    assert part.process.pid is not None
    return psutil.Process(part.process.pid).children(recursive=True)


def submit_all(ledger: Ledger, prefix: str) -> list[str]:
    """Queue the tasks; returns their ids."""
    names = [f"{prefix}{number}" for number in range(TASKS)]
    assert all(ledger.submit([task(name, samples=SAMPLES) for name in names]))
    return names


def generated(ledger: Ledger) -> int:
    """Responses made since the run began."""
    return ledger.counters().get("generated", 0)


def test_a_killed_generator_loses_and_repeats_nothing(generator: TinyGenerator, ledger: Ledger) -> None:
    first = generator.start()
    engines = engines_of(first)
    assert any("EngineCore" in " ".join(engine.cmdline()) for engine in engines)
    names = submit_all(ledger, "t")
    wait_until(lambda: generated(ledger) >= 20, 30)
    assert first.process.pid is not None
    psutil.Process(first.process.pid).kill()
    wait_until(lambda: not any(map(alive, engines)), 5)
    before = generated(ledger)
    assert before < TASKS * SAMPLES, "it had finished already; nothing was interrupted"
    generator.start()
    wait_until(lambda: all(ledger.task(name).state == "done" for name in names), 60)  # type: ignore[union-attr]
    assert generated(ledger) == TASKS * SAMPLES
    assert all(ledger.task(name).made == SAMPLES for name in names)  # type: ignore[union-attr]
    assert ledger.dead_letters.list() == []
    wait_until(lambda: ledger.depths()["tasks"] == 0, 10)


def test_a_redis_restart_is_survived_and_a_stop_gives_the_work_back(
    generator: TinyGenerator, ledger: Ledger, own_redis: RunningRedis
) -> None:
    part = generator.start()
    engines = engines_of(part)
    names = submit_all(ledger, "a")
    wait_until(lambda: generated(ledger) >= 20, 30)
    own_redis.kill()
    own_redis.start()
    wait_until(lambda: all(ledger.task(name).state == "done" for name in names), 60)  # type: ignore[union-attr]
    assert generated(ledger) == TASKS * SAMPLES

    submit_all(ledger, "b")
    wait_until(lambda: generated(ledger) >= TASKS * SAMPLES + 20, 30)
    started = time.monotonic()
    part.process.request_stop()
    assert part.process.wait(10) == 0
    assert time.monotonic() - started < 8
    assert not any(map(alive, engines))
    assert ledger.fleet.members("generator") == []
    made = sum(ledger.task(f"b{number}").made for number in range(TASKS))  # type: ignore[union-attr]
    assert made < TASKS * SAMPLES, "it had finished already; nothing was given back"
    waiting = ledger.lease_tasks("another", TASKS, 0)
    assert sum(len(lease.samples) for lease in waiting) == TASKS * SAMPLES - made
