"""The routing table against a slow, obvious reference, in Python and with the moves on a real Redis."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.ledger_records import CORRECT, NOT_JUDGED, close, generated, settings_for, task, values
from vapo.ledger import Lease, Ledger, Stage
from vapo.ledger.audit import audit
from vapo.ledger.keys import TASK_STAGES, Key, State
from vapo.ledger.routes import ENDS, TABLE, Event, Journey, Place, destinations, journey_of, next_place
from vapo.local.private_redis import PrivateRedis

PLACES: tuple[Place | None, ...] = (None, *dict.fromkeys(route.at for route in TABLE if route.at), *sorted(ENDS))
HOLDING_SLOTS = {Stage.TASKS, Stage.GENERATED, Stage.VERIFIED, Stage.SCORED}


def reference(at: Place | None, event: Event, journey: Journey) -> Place | None:
    """Where a sample goes, said in words; None where the event cannot happen."""
    trains, has_critic = journey is not Journey.EVALUATION, journey is Journey.WITH_CRITIC
    stages = {Stage.TASKS if trains else Stage.EVAL_TASKS, Stage.GENERATED}
    stages |= {Stage.SCORED} if trains else set()
    stages |= {Stage.VERIFIED} if has_critic else set()
    if event is Event.SUBMITTED and at is None:
        return State.QUEUED if trains else Stage.EVAL_TASKS
    if event is Event.ADMITTED and at is State.QUEUED and trains:
        return Stage.TASKS
    if event is Event.GENERATED and at in stages & set(TASK_STAGES):
        return Stage.GENERATED
    if event in (Event.REWARDED, Event.NOT_REWARDED) and at is Stage.GENERATED:
        if not trains:
            return State.DONE
        if event is Event.NOT_REWARDED:
            return State.DROPPED
        return Stage.VERIFIED if has_critic else Stage.SCORED
    if event is Event.SCORED and at is Stage.VERIFIED and has_critic:
        return Stage.SCORED
    if at is Stage.SCORED and trains:
        of_trainer: dict[Event, Place] = {
            Event.TRAINED: State.TRAINED,
            Event.REQUEUED: State.QUEUED,
            Event.DISCARDED: State.DROPPED,
        }
        if event in of_trainer:
            return of_trainer[event]
    if at is State.TRAINED and trains and event in (Event.SAVED, Event.UNSAVED):
        return State.ACKNOWLEDGED if event is Event.SAVED else Stage.SCORED
    if event is Event.FAILED and at in stages:
        return State.DEAD
    if event is Event.REVIVED and at in stages:
        return State.QUEUED if at is Stage.TASKS else at
    return None


def test_every_combination_leads_where_the_reference_says() -> None:
    for at, event, journey in product(PLACES, Event, Journey):
        expected = reference(at, event, journey)
        if expected is None:
            with pytest.raises(KeyError):
                next_place(at, event, journey)
        else:
            assert next_place(at, event, journey) is expected


def test_every_way_ends_in_a_known_place() -> None:
    for journey in Journey:
        reached, new = set[Place](), {next_place(None, Event.SUBMITTED, journey)}
        while new:
            reached |= new
            new = {place for at in reached for event in Event if (place := reference(at, event, journey))} - reached
        stuck = {at for at in reached if not any(reference(at, event, journey) for event in Event)}
        assert stuck <= ENDS, f"nothing follows {stuck - ENDS} on {journey}"
        assert stuck >= {State.DONE, State.DEAD} if journey is Journey.EVALUATION else stuck == ENDS - {State.DONE}


def test_journeys_are_told_by_purpose_and_critic() -> None:
    assert [journey_of("train", True), journey_of("train", False)] == [Journey.WITH_CRITIC, Journey.WITHOUT_CRITIC]
    assert journey_of("eval", True) is journey_of("eval", False) is Journey.EVALUATION


def test_what_depends_on_the_journey_is_no_constant_of_a_script() -> None:
    assert destinations(Event.TRAINED) == {Stage.SCORED: State.TRAINED}
    with pytest.raises(ValueError, match="depends on the journey"):
        destinations(Event.REWARDED)


class Traveller:
    """One sample of a run, moved by events through the calls that the parts make."""

    def __init__(self, ledger: Ledger, journey: Journey) -> None:
        self.ledger, self.journey = ledger, journey
        self.at: Place | None = None
        self.died_at: Stage | None = None
        self._lease: Lease | None = None

    def possible(self) -> list[Event]:
        """What can happen to it now."""
        at = self.died_at if self.at is State.DEAD else self.at
        fits = [event for event in Event if reference(at, event, self.journey)]
        return [event for event in fits if (event is Event.REVIVED) == (self.at is State.DEAD)]

    def happen(self, event: Event) -> None:
        """Do it in the ledger, and hold where it is against the reference."""
        before = self.died_at if self.at is State.DEAD else self.at
        getattr(self, f"_{event.name.lower()}")()
        self.died_at = before if event is Event.FAILED else None  # type: ignore[assignment]
        self.at = reference(before, event, self.journey)
        assert self.found() == [self.at], f"after {event.name} at {before}"
        holds_slot = self.ledger.redis.sismember(self.ledger.keys.named(Key.ADMITTED), "a.0")
        assert bool(holds_slot) == (self.journey is not Journey.EVALUATION and self.at in HOLDING_SLOTS)
        assert audit(self.ledger).lost == ()

    def found(self) -> list[Place]:
        """All places it is in, looked for everywhere."""
        redis, keys, [state] = self.ledger.redis, self.ledger.keys, self.ledger.states(["a.0"])
        backlog = [State.QUEUED for item in redis.lrange(keys.named(Key.BACKLOG), 0, -1) if item == b"a|0"]
        dead = [State.DEAD for letter in self.ledger.dead_letters.list() if letter.id in ("a", "a.0")]
        streams = [stage for stage in Stage for _ in redis.xrange(keys.stream(stage))]
        ended = [State(state)] if state in ENDS - {State.DEAD} else []
        if state == State.TRAINED and streams == [Stage.SCORED]:
            return [State.TRAINED]
        assert not streams or streams[0] in TASK_STAGES or streams == [state]
        return [*backlog, *dead, *streams, *ended]

    def _held(self, stage: Stage) -> Lease:
        if self._lease is None or self._lease.stage is not stage:
            if stage in TASK_STAGES:
                [self._lease] = self.ledger.lease_tasks("generator", 1, version=0)
            else:
                [self._lease] = self.ledger.lease(stage, "trainer", 1, 0.1)
        return self._lease

    def _release(self) -> Lease:
        lease, self._lease = self._held(self.at), None  # type: ignore[arg-type]
        return lease

    def _submitted(self) -> None:
        evaluates = self.journey is Journey.EVALUATION
        purpose = {"purpose": "eval", "evaluation": "held-out"} if evaluates else {}
        assert self.ledger.submit([task("a", 1, **purpose)]) == [True]

    def _admitted(self) -> None:
        self._held(Stage.TASKS)

    def _generated(self) -> None:
        lease = self._release()
        assert self.ledger.record_generated("a", 0, generated())
        assert self.ledger.finish_task_lease(lease)

    def _rewarded(self) -> None:
        [(lease, rollout)] = self.ledger.load([self._release()])
        assert self.ledger.record_verdicts([(lease, rollout, CORRECT)]) == 1

    def _not_rewarded(self) -> None:
        [(lease, rollout)] = self.ledger.load([self._release()])
        assert self.ledger.record_verdicts([(lease, rollout, NOT_JUDGED)]) == 1

    def _scored(self) -> None:
        assert self.ledger.record_values([(self._release(), values())]) == 1

    def _trained(self) -> None:
        self._held(Stage.SCORED)
        assert self.ledger.mark_trained([("a.0", {"step": 1})]) == 1

    def _saved(self) -> None:
        assert self._lease is not None
        assert self.ledger.acknowledge([(self._lease.entry, "a.0")]) == 1
        self._lease = None

    def _unsaved(self) -> None:
        assert self.ledger.redeliver("trainer") == [self._lease]

    def _requeued(self) -> None:
        assert self.ledger.drop([self._release()], "stale", requeue=True) == 1

    def _discarded(self) -> None:
        assert self.ledger.drop([self._release()], "uniform group", requeue=False) == 1

    def _failed(self) -> None:
        assert self.ledger.bury(self._release(), "it failed")

    def _revived(self) -> None:
        [letter] = self.ledger.dead_letters.list()
        assert self.ledger.dead_letters.revive(letter.entry)


def travel(server: PrivateRedis, journey: Journey) -> Traveller:
    """A sample of a new run."""
    estimator = "group" if journey is Journey.WITHOUT_CRITIC else "gae"
    return Traveller(Ledger.open(settings_for(server.settings, f"algorithm.estimator={estimator}")), journey)


def ways(journey: Journey) -> list[list[Event]]:
    """The shortest way to each cell of the table, with its event at the end."""
    found: dict[tuple[Place | None, Event], list[Event]] = {}
    waiting: list[tuple[Place | None, list[Event]]] = [(None, [])]
    for at, way in waiting:
        for event in Event:
            place = reference(at, event, journey)
            if place is None or (at, event) in found:
                continue
            died = [Event.FAILED] if event is Event.REVIVED else []
            found[at, event] = [*way, *died, event]
            waiting.append((place, found[at, event]))
    return list(found.values())


@pytest.mark.parametrize("journey", Journey)
def test_each_cell_of_the_table_on_a_real_redis(redis_server: PrivateRedis, journey: Journey) -> None:
    column = 2 + list(Journey).index(journey)
    cells = [route for route in TABLE if route[column] is not None]
    assert len(ways(journey)) == len(cells)
    for way in ways(journey):
        traveller = travel(redis_server, journey)
        for event in way:
            assert event in traveller.possible()
            traveller.happen(event)
        close(traveller.ledger)


@pytest.mark.parametrize("journey", Journey)
@settings(max_examples=10)
@given(data=st.data())
def test_on_any_way_a_sample_is_in_one_place_and_never_lost(
    redis_server: PrivateRedis, journey: Journey, data: st.DataObject
) -> None:
    traveller = travel(redis_server, journey)
    for _ in range(data.draw(st.integers(5, 20), label="events")):
        if not traveller.possible():
            break
        traveller.happen(data.draw(st.sampled_from(traveller.possible()), label="event"))
    close(traveller.ledger)
