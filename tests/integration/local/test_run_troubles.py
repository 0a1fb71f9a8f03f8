"""What `vapo up` says when work fails and nothing dies; a real ledger, parts that only answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.ledger_records import generated, task
from tests.support.running_redis import RunningRedis
from tests.support.stand_in_stack import read_until, started
from vapo.ledger import Ledger
from vapo.ledger.fleet import Member
from vapo.ledger.keys import Stage
from vapo.local.ports import free_ports
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.run_folders.run_troubles import (
    BETWEEN_CHANGES_SECONDS,
    BETWEEN_REPEATS_SECONDS,
    STILL_SECONDS,
    UNREADY_SECONDS,
    RunTrouble,
    Teller,
    TroubleWatch,
)
from vapo.local.supervision.readiness import Awaited
from vapo.service.http_clients import http_client


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with http_client(timeout=2.0) as client:
        yield client


@pytest.fixture
def run(make_ledger: Callable[..., Ledger]) -> Ledger:
    return make_ledger()


def bury(ledger: Ledger, name: str, reason: str) -> None:
    """A task that fails for good."""
    ledger.submit([task(name)])
    (lease,) = ledger.lease_tasks("worker", 1, 0)
    assert ledger.bury(lease, reason)


def texts(ledger: Ledger, http: httpx.Client, *running: str) -> dict[str, str]:
    found = TroubleWatch(ledger, {}, lambda name: name in running).troubles(http)
    return {trouble.subject: trouble.text for trouble in found}


def test_a_sound_run_has_no_troubles(run: Ledger, http: httpx.Client) -> None:
    run.fleet.beat(Member("g", "generator", "http://g", "READY", 3, {"reason": ""}))
    assert texts(run, http, "trainer") == {}


def test_dead_letters_are_told_with_their_number_and_the_newest_reason(run: Ledger, http: httpx.Client) -> None:
    bury(run, "a", "first")
    bury(run, "b", "ValueError: temperature must be in\n [0, 2], got 2.5")
    assert texts(run, http)["dead letters"] == (
        "2 tasks or rollouts failed for good, at last b (tasks): ValueError: temperature must be in [0, 2], got 2.5"
    )


def test_a_generator_that_refuses_new_weights_is_told(run: Ledger, http: httpx.Client) -> None:
    details = {"reason": "version 3 lacks 1 tensors of the model"}
    run.fleet.beat(Member("g", "generator", "http://g", "READY", 0, details))
    assert texts(run, http)["g"] == ("stays at weights version 0: version 3 lacks 1 tensors of the model")


def test_rollouts_that_are_all_dropped_are_told(run: Ledger, http: httpx.Client) -> None:
    watch = TroubleWatch(run, {}, lambda name: False)
    for number in range(20):
        run.submit([task(f"t{number}")])
        (lease,) = run.lease_tasks("worker", 1, 0)
        for sample in lease.samples:
            run.record_generated(lease.id, sample, generated())
        run.finish_task_lease(lease)
        for judged in run.lease(Stage.GENERATED, "verifier", 2, 0):
            run.drop([judged], "verdict_error", requeue=False)
    (told,) = (one for one in watch.troubles(http) if one.subject == "rollouts")
    assert told.text.endswith("were dropped: verdict_error 40")


def test_work_that_waits_and_does_not_move_is_told_and_movement_ends_it(run: Ledger, http: httpx.Client) -> None:
    run.submit([task("a")])
    teller, watch = Teller(), TroubleWatch(run, {}, lambda name: name == "trainer")
    assert not list(teller.lines(watch.troubles(http), 0.0))
    (line,) = teller.lines(watch.troubles(http), STILL_SECONDS)
    assert line.startswith("the run: nothing has moved for 10 min though work waits (backlog 1; a")
    run.submit([task("b")])
    assert not list(teller.lines(watch.troubles(http), STILL_SECONDS + 100))
    run.control.pause()
    assert list(teller.lines(watch.troubles(http), STILL_SECONDS + 200)) == ["the run: well again"]


def test_a_part_that_is_not_ready_is_told_while_its_process_runs(run: Ledger, http: httpx.Client) -> None:
    parts = {"value": Awaited(f"http://127.0.0.1:{free_ports(1)[0]}", 1.0)}
    (told,) = TroubleWatch(run, parts, lambda name: True).troubles(http)
    assert (told.subject, told.patience_seconds) == ("value", UNREADY_SECONDS)
    assert told.text.startswith("is not ready: no answer")
    assert TroubleWatch(run, parts, lambda name: False).troubles(http) == []


def test_a_redis_that_is_away_is_a_trouble_and_no_error(
    own_redis: RunningRedis, http: httpx.Client, make_ledger: Callable[..., Ledger]
) -> None:
    settings = make_ledger().settings.model_copy(update={"redis": own_redis.settings})
    ledger = Ledger.open(settings, patience_seconds=0.0)
    watch = TroubleWatch(ledger, {}, lambda name: False)
    own_redis.kill()
    (told,) = watch.troubles(http)
    assert told.subject == "queues"
    assert told.text.startswith("Redis does not answer: ")
    ledger.redis.close()


def test_a_redis_that_answers_and_has_lost_the_run_is_not_said_to_be_silent(
    own_redis: RunningRedis, http: httpx.Client, make_ledger: Callable[..., Ledger]
) -> None:
    settings = make_ledger().settings.model_copy(update={"redis": own_redis.settings})
    ledger = Ledger.open(settings)
    watch = TroubleWatch(ledger, {}, lambda name: False)
    ledger.redis.flushall()
    (told,) = watch.troubles(http)
    assert told.subject == "queues"
    assert told.text.startswith("Redis has lost this run: ")
    ledger.redis.close()


def test_a_trouble_is_told_once_and_again_when_it_changes_but_not_all_the_time() -> None:
    teller = Teller()
    told = {
        second: list(teller.lines([RunTrouble("a", text, 0.0)], second))
        for second, text in (
            (0, "x"),
            (5, "x"),
            (10, "y"),
            (BETWEEN_CHANGES_SECONDS, "y"),
            (BETWEEN_REPEATS_SECONDS, "y"),
            (BETWEEN_CHANGES_SECONDS + BETWEEN_REPEATS_SECONDS, "y"),
        )
    }
    assert list(told.values()) == [["a: x"], [], [], ["a: y"], [], ["a: y"]]
    assert list(teller.lines([], 2000.0)) == ["a: well again"]


def test_up_says_it(tmp_path: Path) -> None:
    with started(["up", "--run", "a"], tmp_path) as running:
        read_until(running, "Ctrl-C stops everything")
        ledger = Ledger.open(RunFolder(tmp_path / "runs" / "a").read_settings())
        bury(ledger, "a", "temperature must be in [0, 2], got 2.5")
        ledger.redis.close()
        said = read_until(running, "vapo up: dead letters: 1 task or rollout failed for good")
        assert "temperature must be in [0, 2], got 2.5" in said
        running.terminate()
        assert running.wait(30) == 130
