"""The trainer while Redis takes no writes, or has lost the run: it holds still and says why."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trainer.test_trainer_process import PER_STEP, Run, _settings
from tests.support.parts import Part
from tests.support.running_redis import RunningRedis
from trainer.checkpoint import newest_checkpoint, read_manifest
from vapo.ledger.connection import connect
from vapo.service.http_clients import http_client

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path, own_redis: RunningRedis) -> Iterator[Run]:
    settings = _settings(
        tmp_path,
        own_redis,
        "held",  # type: ignore[arg-type]
        trainer={"checkpoint_every_steps": 50},
    )
    run = Run(settings, tmp_path / "parts")
    yield run
    run.close()


def readiness(trainer: Part) -> str:
    """Empty when ready, else the reason."""
    with http_client(timeout=30) as client:
        answer = client.get(f"{trainer.url}/readyz")
    return "" if answer.status_code == 200 else str(answer.json()["detail"])


def until(run: Run, trainer: Part, said: str) -> None:
    """Wait until ``/readyz`` says that; empty: ready."""
    run.wait(
        lambda: [text := readiness(trainer)] and (said in text if said else not text), f"readiness {said!r}", trainer
    )


def admin(run: Run) -> Any:
    return connect(run.settings.redis, 5.0)


def test_a_full_redis_stops_training_for_as_long_as_it_is_full(run: Run) -> None:
    redis = admin(run)
    trainer = run.parts.start("trainer")
    run.rollouts.submit(6 * PER_STEP // 2)
    run.wait(lambda: run.steps_done() >= 1, "a step", trainer)
    redis.config_set("maxmemory", "1")
    until(run, trainer, "Redis refuses writes")
    time.sleep(3)
    assert trainer.process.exit_status() is None
    redis.config_set("maxmemory", "0")
    run.wait(lambda: run.steps_done() == 6, "all steps", trainer)
    until(run, trainer, "")
    redis.close()


def test_a_lost_run_is_held_and_its_training_is_kept(run: Run) -> None:
    redis = admin(run)
    trainer = run.parts.start("trainer")
    run.rollouts.submit(PER_STEP // 2)
    run.wait(lambda: run.steps_done() == 1, "a step", trainer)
    facts = run.ledger.keys.named("run")
    redis.rename(facts, "elsewhere")
    until(run, trainer, "Redis has lost this run")
    redis.rename("elsewhere", facts)
    until(run, trainer, "")
    run.rollouts.submit(PER_STEP // 2, first=PER_STEP // 2)
    run.wait(lambda: run.steps_done() == 2, "the next step", trainer)

    redis.flushall()
    until(run, trainer, "Redis has lost this run")
    said = trainer.process.log_tail(1000).count("Redis has lost this run")
    time.sleep(3)
    assert trainer.process.log_tail(1000).count("Redis has lost this run") == said <= 2
    trainer.process.request_stop()
    assert run.wait_exit(trainer) == 128 + signal.SIGTERM
    folder = newest_checkpoint(run.settings.run.checkpoints_directory)
    assert folder is not None
    assert read_manifest(folder).position.step == 2

    again = run.parts.launch("trainer")
    assert run.wait_exit(again) == 78
    assert "Redis has lost this run" in again.process.log_tail(3)
    redis.close()


def test_a_trainer_that_must_stop_does_not_wait_for_a_full_redis(run: Run) -> None:
    redis = admin(run)
    trainer = run.parts.start("trainer")
    run.rollouts.submit(PER_STEP // 2)
    run.wait(lambda: run.steps_done() == 1, "a step", trainer)
    redis.config_set("maxmemory", "1")
    until(run, trainer, "Redis refuses writes")
    trainer.process.request_stop()
    status = run.wait_exit(trainer)
    assert status in (69, 128 + signal.SIGTERM)
    folder = newest_checkpoint(run.settings.run.checkpoints_directory)
    assert folder is not None
    assert read_manifest(folder).position.step == 1
    redis.config_set("maxmemory", "0")
    redis.close()
