"""The simulation against the closed forms where these are exact, and what must hold everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vapo.planning import closed_forms
from vapo.planning.lengths import draw_lengths
from vapo.planning.quantities import Rates, Workload
from vapo.planning.simulation import simulate

STEPS, WARM_UP = 50, 10
ROUGHLY = 0.03
"""Rollouts end in bunches, which do not fill the window evenly."""


@st.composite
def alike(draw: st.DrawFn) -> tuple[Workload, Rates]:
    """Responses of one length, places for all that may be admitted."""
    work = Workload(
        draw(st.integers(1, 6)),
        draw(st.integers(1, 4)),
        draw(st.integers(50, 5000)),
        5000,
        max_staleness=draw(st.integers(0, 3)),
    )
    rates = Rates(
        draw(st.integers(1, 12)),
        draw(st.floats(100, 5000)),
        draw(st.floats(100, 50_000)),
        sequences=1000,
        standstill_seconds=draw(st.floats(0, 2)),
        publish_seconds=draw(st.floats(0, 2)),
    )
    return work, rates


@st.composite
def any_run(draw: st.DrawFn) -> tuple[Workload, Rates]:
    """Lengths that differ, places that may be few, responses that may be slow alone."""
    work, rates = draw(alike())
    work = replace(work, spread=draw(st.floats(0.1, 1.0)), response_tokens=1000.0)
    return work, replace(rates, sequences=draw(st.integers(1, 20)), sequence_tokens_per_second=draw(st.floats(20, 500)))


@given(alike())
@settings(max_examples=50)
def test_equal_lengths_give_the_closed_form(run: tuple[Workload, Rates]) -> None:
    work, rates = run[0], replace(run[1], standstill_seconds=0.0)
    outcome = simulate(work, rates, STEPS, WARM_UP)
    assert outcome.step_seconds == pytest.approx(closed_forms.step_seconds(work, rates), rel=ROUGHLY)
    assert outcome.dropped_fraction == 0
    if work.max_staleness == 0:
        assert outcome.staleness_max == 0


@given(alike())
@settings(max_examples=50)
def test_a_standstill_costs_at_least_its_own_time_and_at_most_twice_that(run: tuple[Workload, Rates]) -> None:
    work, rates = run
    assume(rates.standstill_seconds < closed_forms.training_seconds(work, rates))
    seconds = simulate(work, rates, STEPS, WARM_UP).step_seconds
    least = closed_forms.step_seconds(work, rates)
    assert least * (1 - ROUGHLY) <= seconds <= (least + rates.standstill_seconds) * (1 + ROUGHLY)


@given(alike())
@settings(max_examples=50)
def test_as_many_generators_as_are_needed_keep_the_trainer_busy(run: tuple[Workload, Rates]) -> None:
    work = replace(run[0], max_staleness=max(1, run[0].max_staleness))
    rates = replace(run[1], standstill_seconds=0.0)
    needed = closed_forms.generators_needed(work, rates)
    assert needed is not None
    assume(needed < 10_000)
    enough = simulate(work, replace(rates, generators=needed), STEPS, WARM_UP)
    assert enough.trainer_busy > 1 - ROUGHLY
    if needed > 1:
        fewer = simulate(work, replace(rates, generators=needed - 1), STEPS, WARM_UP)
        assert fewer.step_seconds >= enough.step_seconds * (1 - ROUGHLY)
    waiting = replace(rates, standstill_seconds=closed_forms.training_seconds(work, rates))
    assert closed_forms.generators_needed(work, waiting) is None


@given(any_run())
@settings(max_examples=50)
def test_no_run_beats_its_parts_or_exceeds_its_staleness(run: tuple[Workload, Rates]) -> None:
    work, rates = run
    outcome = simulate(work, rates, STEPS, WARM_UP)
    assert 0 <= outcome.staleness_mean <= outcome.staleness_max <= work.max_staleness
    assert outcome.tokens_per_second <= rates.trainer_tokens_per_second * (1 + 1e-9)
    assert 0 < outcome.trainer_busy <= 1 + 1e-9
    assert 0 <= outcome.dropped_fraction < 1
    assert outcome == simulate(work, rates, STEPS, WARM_UP), "seeded"


@given(st.floats(100, 5000), st.floats(0.05, 1.5), st.integers(0, 1000))
def test_lengths_have_the_wanted_mean_and_the_cut(mean: float, spread: float, seed: int) -> None:
    work = Workload(1, 1, mean, 6000, spread)
    drawn = draw_lengths(work, 20_000, np.random.default_rng(seed))
    assert drawn.min() >= 1
    assert drawn.max() <= 6000
    assert drawn.mean() == pytest.approx(mean, rel=0.08)


@given(alike(), st.integers(2, 64), st.integers(1, 8))
def test_the_best_split_uses_no_gpu_twice_and_none_is_better(
    run: tuple[Workload, Rates], gpus: int, per_generator: int
) -> None:
    work, rates = run
    if gpus <= per_generator:
        with pytest.raises(ValueError, match="too few"):
            closed_forms.best_split(work, rates, gpus, per_generator)
        return
    generators, trainer = closed_forms.best_split(work, rates, gpus, per_generator)
    assert generators >= 1
    assert trainer >= 1
    assert generators * per_generator + trainer == gpus
    best = closed_forms.step_seconds(work, closed_forms.with_split(rates, generators, trainer))
    for other in range(1, (gpus - 1) // per_generator + 1):
        split = closed_forms.with_split(rates, other, gpus - other * per_generator)
        assert closed_forms.step_seconds(work, split) >= best
