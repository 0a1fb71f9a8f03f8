"""The progress line, the time left, and the alarms of `vapo watch`: what is said, and how often."""

from __future__ import annotations

import contextlib
import io
import os
import pty
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.waiting import wait_until
from vapo.cli.output.eval_wait import reason_of_standstill
from vapo.cli.output.progress_line import ERASE, ProgressLine
from vapo.cli.output.table import figure
from vapo.cli.output.watch_alarms import REPEAT_SECONDS, UNREADY_SECONDS, Alarms
from vapo.ledger.pace import seconds_left, words

DEADLINE_SECONDS = 20.0
wait_soon = partial(wait_until, seconds=DEADLINE_SECONDS)


def test_a_short_wait_shows_nothing_and_a_long_one_plain_lines_seldom() -> None:
    out = io.StringIO()
    with ProgressLine(out, quiet_seconds=0.5, plain_seconds=1e6) as line:
        for _ in range(5):
            with line.waiting("a short wait"):
                pass
        assert out.getvalue() == ""
        with line.waiting("the gateway"):
            wait_soon(lambda: out.getvalue())
            line.show("1/8 responses")
    assert out.getvalue().startswith("the gateway (")
    assert len(out.getvalue().splitlines()) == 1


def test_on_a_terminal_one_line_is_rewritten_and_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    main, other = pty.openpty()
    with os.fdopen(other, "w") as terminal:
        with ProgressLine(terminal) as line:
            line.show("1/8 responses" + " and more" * 40)
            line.show("2/8 responses")
        shown = ""
        while shown.count(ERASE) < 3:
            shown += os.read(main, 10_000).decode()
    os.close(main)
    assert "\n" not in shown
    assert shown.count(ERASE) == 3
    assert shown.endswith(ERASE)
    assert len(shown.split(ERASE)[1]) < 80


def test_a_reader_that_has_gone_ends_no_work() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    out = os.fdopen(writing, "w")
    with ProgressLine(out, quiet_seconds=0.0) as line:
        line.show("nobody sees this")
    with contextlib.suppress(BrokenPipeError):
        out.close()


@given(st.lists(st.floats(0.1, 1e4), min_size=2, max_size=30), st.integers(0, 10_000))
def test_the_time_left_is_steps_left_at_a_pace_that_was_seen(gaps: list[float], steps_left: int) -> None:
    at, rows = 0.0, []
    for step, gap in enumerate(gaps, start=1):
        at += gap
        rows.append({"step": step, "at": at})
    left = seconds_left(rows, len(gaps) + steps_left)
    assert left is not None
    # The differences of sums carry their rounding.
    assert min(gaps) * steps_left * 0.999 <= left <= max(gaps) * steps_left * 1.001


def test_a_night_without_the_run_does_not_tell_its_pace() -> None:
    rows = [{"step": step, "at": 10.0 * step + (5e4 if step > 5 else 0)} for step in range(1, 11)]
    assert seconds_left(rows, 20) == 100.0
    assert words(seconds_left(rows, 20)) == "1:40"
    assert words(seconds_left(rows[:1], 20)) == "-"
    assert words(seconds_left(rows, 10)) == "0:00"


@given(st.floats(-1e-5, 1e-5))
def test_zero_has_no_minus(value: float) -> None:
    assert figure(value, ".4f") == "0.0000"
    assert figure(value, "+.2f") == "+0.00"
    assert figure(value, ".0%") == "0%"


def of(dead: int, reason: str = "why") -> dict[str, object]:
    newest = {"reason": reason, "id": "x", "at": 0.0} if dead else None
    return {"depths": {"dead": dead}, "newest_dead_letter": newest}


def test_growing_failures_are_said_at_most_once_a_minute() -> None:
    alarms = Alarms(0)
    said = [line for second in range(600) for line in alarms.of(of(second), [], float(second))]
    assert 9 <= len(said) <= 600 / REPEAT_SECONDS + 1
    assert Alarms(5).of(of(5), [], 0.0) == []


def test_a_part_that_stays_unready_is_said_once_with_its_reason() -> None:
    alarms, member = (
        Alarms(0),
        {"name": "g", "part": "generator", "state": "STALE", "details": {"reason": "lacks 1 tensor"}},
    )
    said = [line for second in range(300) for line in alarms.of(of(0), [member], float(second))]
    assert len(said) == 1
    assert "lacks 1 tensor" in said[0]
    ready = {**member, "state": "READY"}
    flapping = [
        line
        for second in range(300)
        for line in alarms.of(of(0), [ready if second % UNREADY_SECONDS == 0 else member], second)
    ]
    assert flapping == []


def test_a_standstill_names_what_is_missing() -> None:
    verifier = {"part": "verifier", "state": "READY", "details": {}}
    stale = {"part": "generator", "state": "STALE", "details": {"reason": "lacks 1 tensor"}}
    letter = {"reason": "temperature must be in [0, 2]"}
    assert "no generator" in reason_of_standstill([verifier], None)
    assert "lacks 1 tensor" in reason_of_standstill([stale, verifier], None)
    ready = {**stale, "state": "READY"}
    assert "no verifier" in reason_of_standstill([ready], letter)
    assert "temperature" in reason_of_standstill([ready, verifier], letter)
