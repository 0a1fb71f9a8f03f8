"""The generator's state machine: which way is open to READY, and which is not."""

from __future__ import annotations

import pytest

from services.generator.state import GeneratorState, State, TransitionError


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A stopped clock."""
    return Clock()


@pytest.fixture
def machine(clock: Clock) -> GeneratorState:
    """A new generator's state; DEAD after 6 silent seconds."""
    return GeneratorState(clock, silence_limit_seconds=6.0)


def test_it_begins_stale_and_is_ready_only_after_proof(machine: GeneratorState) -> None:
    assert machine.state is State.STALE
    machine.load_started(0)
    assert machine.state is State.LOADING
    machine.load_proved(0)
    assert (machine.state, machine.version, machine.reason) == (State.READY, 0, "")


def test_new_weights_lead_through_loading(machine: GeneratorState) -> None:
    machine.load_started(0)
    machine.load_proved(0)
    machine.load_started(3)
    assert (machine.state, machine.version) == (State.LOADING, 0)
    machine.load_proved(3)
    assert (machine.state, machine.version) == (State.READY, 3)


def test_a_failed_load_leaves_it_stale_with_the_reason(machine: GeneratorState) -> None:
    machine.load_started(2)
    machine.load_failed("version 2: the file vanished")
    assert machine.state is State.STALE
    assert machine.reason == "version 2: the file vanished"
    machine.load_started(2)
    machine.load_proved(2)
    assert machine.version == 2


def test_silence_is_death_and_a_beat_brings_it_back_only_as_stale(machine: GeneratorState, clock: Clock) -> None:
    machine.load_started(1)
    machine.load_proved(1)
    clock.now += 6.1
    assert machine.state is State.DEAD
    machine.beat()
    assert (machine.state, machine.version) == (State.STALE, 1)
    machine.load_started(1)
    machine.load_proved(1)
    assert machine.state is State.READY


def test_a_load_that_outlasts_the_silence_limit_still_counts(machine: GeneratorState, clock: Clock) -> None:
    machine.load_started(2)
    clock.now += 60
    assert machine.state is State.DEAD
    machine.load_proved(2)
    assert (machine.state, machine.version) == (State.READY, 2)


def test_beats_keep_it_alive(machine: GeneratorState, clock: Clock) -> None:
    machine.load_started(0)
    machine.load_proved(0)
    for _ in range(5):
        clock.now += 5.9
        machine.beat()
    assert machine.state is State.READY


def test_a_failed_engine_stays_dead_whatever_beats(machine: GeneratorState) -> None:
    machine.engine_failed("vLLM's engine process ended")
    machine.beat()
    assert machine.state is State.DEAD
    with pytest.raises(TransitionError, match="DEAD"):
        machine.load_started(1)
    assert machine.engine_failure == "vLLM's engine process ended"


@pytest.mark.parametrize("event", ["load_proved", "load_failed"])
def test_a_load_cannot_end_that_has_not_begun(machine: GeneratorState, event: str) -> None:
    argument = 1 if event == "load_proved" else "why"
    with pytest.raises(TransitionError, match=event):
        getattr(machine, event)(argument)


def test_the_proof_must_be_of_what_was_loaded(machine: GeneratorState) -> None:
    machine.load_started(4)
    with pytest.raises(TransitionError, match="version 3 was proven, 4 was being loaded"):
        machine.load_proved(3)


def test_the_version_never_falls(machine: GeneratorState) -> None:
    machine.load_started(4)
    machine.load_proved(4)
    with pytest.raises(TransitionError, match="older"):
        machine.load_started(3)
