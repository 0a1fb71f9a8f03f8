"""Server-sent events over real HTTP: live, resumable, and ended by a shutdown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.parts import Parts
from tests.support.running_gateway import RunningGateway
from vapo.client.event_stream import Event, parse_events
from vapo.ledger import Ledger

DEADLINE_SECONDS = 15


def told(reply: httpx.Response) -> Iterator[Event]:
    """Events of a stream, as they come."""
    return (event for event in parse_events(reply.iter_lines()) if event.kind)


def test_events_arrive_as_they_happen(gateway: RunningGateway) -> None:
    with gateway.client.stream("GET", "/v1/events") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        gateway.ledger.journal.write_metrics(1, {"reward": 0.5})
        begun = time.monotonic()
        event = next(told(reply))
        assert (event.kind, event.data["step"]) == ("metrics", 1)
        assert time.monotonic() - begun < 2.0


def test_a_listener_resumes_where_it_was_cut_off(gateway: RunningGateway) -> None:
    for step in range(5):
        gateway.ledger.journal.write_metrics(step, {})
    with gateway.client.stream("GET", "/v1/events", params={"after": "0"}) as reply:
        stream = told(reply)
        first = [next(stream) for _ in range(2)]
    assert [event.data["step"] for event in first] == [0, 1]
    headers = {"Last-Event-ID": first[-1].id}
    with gateway.client.stream("GET", "/v1/events", headers=headers) as reply:
        stream = told(reply)
        assert [next(stream).data["step"] for _ in range(3)] == [2, 3, 4]


def test_many_listeners_hear_everything(gateway: RunningGateway) -> None:
    heard: list[list[int]] = [[] for _ in range(12)]
    ready = threading.Barrier(13, timeout=DEADLINE_SECONDS)

    def listen(steps: list[int]) -> None:
        with gateway.client.stream("GET", "/v1/events", params={"after": "0"}) as reply:
            ready.wait()
            for event in told(reply):
                steps.append(event.data["step"])
                if len(steps) == 20:
                    return

    threads = [threading.Thread(target=listen, args=(steps,)) for steps in heard]
    for thread in threads:
        thread.start()
    ready.wait()
    for step in range(20):
        gateway.ledger.journal.write_metrics(step, {})
    for thread in threads:
        thread.join(timeout=DEADLINE_SECONDS)
    assert heard == [list(range(20))] * 12


@pytest.mark.parametrize("after", ["yesterday", "18446744073709551616", "1-18446744073709551616", "\u0661-\u0661"])
def test_an_id_that_is_none_is_refused(gateway: RunningGateway, after: str) -> None:
    assert gateway.client.get("/v1/events", params={"after": after}).status_code == 422


def test_a_figure_that_is_not_finite_is_null(gateway: RunningGateway) -> None:
    row = {"reward": float("nan"), "by_position": [0.5, float("inf")]}
    gateway.ledger.journal.write_metrics(1, row)
    with gateway.client.stream("GET", "/v1/events", params={"after": "0"}) as reply:
        text = next(line for line in reply.iter_lines() if line.startswith("data: "))
    data = json.loads(text.removeprefix("data: "), parse_constant=pytest.fail)
    assert (data["reward"], data["by_position"]) == (None, [0.5, None])


@pytest.mark.slow
def test_sigterm_ends_open_streams_and_the_process(parts: Parts, ledger: Ledger) -> None:
    part = parts.start("services.gateway")
    members = ledger.fleet.members("gateway")
    assert [member.url for member in members] == [part.url]
    with httpx.stream("GET", f"{part.url}/v1/events", timeout=DEADLINE_SECONDS) as reply:
        lines = reply.iter_lines()
        assert next(lines) == ": connected"
        begun = time.monotonic()
        part.process.request_stop()
        for _ in lines:
            pass
        assert time.monotonic() - begun < 4.0, "the stream ends cleanly, before it is cut"
    while part.process.exit_status() is None:
        assert time.monotonic() - begun < DEADLINE_SECONDS
        time.sleep(0.05)
    assert part.process.exit_status() == 0
    assert ledger.fleet.members("gateway") == [], "it left the fleet"
