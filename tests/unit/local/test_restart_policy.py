"""Restart decisions: growing delays, giving up within a window, forgetting old deaths."""

from __future__ import annotations

import pytest

from vapo.local.supervision.restarts import RestartPolicy, recent, restart_delay

POLICY = RestartPolicy(limit=5, window_seconds=60.0, first_delay_seconds=0.25, longest_delay_seconds=1.0)


@pytest.mark.parametrize(
    ("deaths", "delay"), [([0.0], 0.25), ([0.0, 1.0], 0.5), ([0.0, 1.0, 2.0], 1.0), ([0.0, 1.0, 2.0, 3.0], 1.0)]
)
def test_delay_doubles_up_to_its_limit(deaths: list[float], delay: float) -> None:
    assert restart_delay(POLICY, deaths, now=deaths[-1]) == delay


def test_fifth_death_within_the_window_gives_up() -> None:
    assert restart_delay(POLICY, [0.0, 10.0, 20.0, 30.0, 59.9], now=59.9) is None


def test_deaths_before_the_window_are_forgotten() -> None:
    deaths = [0.0, 10.0, 20.0, 30.0, 60.0]
    assert restart_delay(POLICY, deaths, now=60.0) == 1.0
    assert recent(POLICY, deaths, now=60.0) == [10.0, 20.0, 30.0, 60.0]
