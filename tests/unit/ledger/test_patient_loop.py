"""Work goes on while Redis is in trouble, trouble is told, and a stop is heard."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from vapo.ledger import patient_loop
from vapo.ledger.patient_loop import PatientLoop, patiently

DEADLINE_SECONDS = 10.0


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_loop, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(patient_loop, "FAULT_PAUSE_SECONDS", 0.0)


class Rounds:
    """Rounds of work with these outcomes, then quiet ones; what was told of them."""

    def __init__(self, *outcomes: Exception, rest: float = 0.0) -> None:
        self.outcomes: Iterator[Exception] = iter(outcomes)
        self.rest, self.done, self.told = rest, 0, list[tuple[str, str]]()
        self.well = threading.Event()

    def tell(self, waits: str, error: RedisError) -> None:
        self.told.append((waits, str(error)))

    def __call__(self) -> float:
        self.done += 1
        for outcome in self.outcomes:
            raise outcome
        self.well.set()
        return self.rest


def test_trouble_is_told_and_the_work_done_again() -> None:
    rounds = Rounds(RedisConnectionError("away"), RedisConnectionError("still away"))
    loop = PatientLoop("test", rounds, rounds.tell, "chores wait")
    loop.start()
    assert rounds.well.wait(DEADLINE_SECONDS)
    loop.stop()
    loop.join(DEADLINE_SECONDS)
    assert rounds.told == [("chores wait", "away"), ("chores wait", "still away")]


def test_another_error_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds(ValueError("a bad record"))
    loop = PatientLoop("test", rounds, rounds.tell, "chores wait")
    with caplog.at_level(logging.ERROR):
        loop.start()
        assert rounds.well.wait(DEADLINE_SECONDS)
    loop.stop()
    loop.join(DEADLINE_SECONDS)
    assert rounds.told == []
    assert "a bad record" in caplog.text


def test_a_stop_ends_a_rest_and_a_wake_begins_the_next_round() -> None:
    rounds = Rounds(rest=3600.0)
    loop = PatientLoop("test", rounds, rounds.tell, "chores wait")
    loop.start()
    assert rounds.well.wait(DEADLINE_SECONDS)
    rounds.well.clear()
    loop.wake()
    assert rounds.well.wait(DEADLINE_SECONDS)
    begun = time.monotonic()
    loop.stop()
    loop.join(DEADLINE_SECONDS)
    assert time.monotonic() - begun < DEADLINE_SECONDS
    assert rounds.done == 2


def test_a_call_is_made_again_until_redis_answers() -> None:
    rounds = Rounds(RedisConnectionError("away"), rest=7.0)
    assert asyncio.run(patiently(rounds.tell, "the queue waits", rounds)) == 7.0
    assert rounds.told == [("the queue waits", "away")]


def test_an_error_that_is_not_of_redis_is_the_callers() -> None:
    rounds = Rounds(ValueError("wrong arguments"))
    with pytest.raises(ValueError, match="wrong arguments"):
        asyncio.run(patiently(rounds.tell, "the queue waits", rounds))
