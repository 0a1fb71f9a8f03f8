"""Where a rollout goes next: the one table of the pipeline. Pure.

Invariant: whoever moves a rollout reads its next place here: Python with :func:`next_place`, the Lua
scripts as ``Before.EVENT`` and ``After.EVENT``, for events that lead to the same place on every
journey (:func:`destinations`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from vapo.ledger.keys import Stage, State
from vapo.messages import Purpose

Place = Stage | State
"""A stream that a sample waits in, or a state in which it waits in none (``queued``: in the backlog)."""


class Event(StrEnum):
    """What happens to a sample."""

    SUBMITTED = "submitted"
    ADMITTED = "admitted"
    GENERATED = "generated"
    REWARDED = "judged, with a reward"
    NOT_REWARDED = "judged, without a reward"
    """The reference answer could not be judged: that is never punished."""
    SCORED = "scored by the critic"
    TRAINED = "trained on"
    SAVED = "in a durable checkpoint"
    UNSAVED = "its checkpoint was lost"
    REQUEUED = "stale: its sample is made again"
    DISCARDED = "discarded by dynamic sampling"
    FAILED = "failed for good"
    REVIVED = "revived where it had failed"


class Journey(StrEnum):
    """Kinds of rollout: the columns of the table, in its order."""

    WITH_CRITIC = "training with a critic"
    WITHOUT_CRITIC = "training without a critic"
    EVALUATION = "evaluation"


class Route(NamedTuple):
    """One row: from where, on what, and where to on each journey; None where that cannot happen."""

    at: Place | None
    """None: not in the ledger yet."""
    event: Event
    with_critic: Place | None
    without_critic: Place | None
    evaluation: Place | None


# fmt: off
TABLE = (
    # at                    event               training with critic    without critic          evaluation
    Route(None,             Event.SUBMITTED,    State.QUEUED,           State.QUEUED,           Stage.EVAL_TASKS),
    Route(State.QUEUED,     Event.ADMITTED,     Stage.TASKS,            Stage.TASKS,            None),
    Route(Stage.TASKS,      Event.GENERATED,    Stage.GENERATED,        Stage.GENERATED,        None),
    Route(Stage.EVAL_TASKS, Event.GENERATED,    None,                   None,                   Stage.GENERATED),
    Route(Stage.GENERATED,  Event.REWARDED,     Stage.VERIFIED,         Stage.SCORED,           State.DONE),
    Route(Stage.GENERATED,  Event.NOT_REWARDED, State.DROPPED,          State.DROPPED,          State.DONE),
    Route(Stage.VERIFIED,   Event.SCORED,       Stage.SCORED,           None,                   None),
    Route(Stage.SCORED,     Event.TRAINED,      State.TRAINED,          State.TRAINED,          None),
    Route(Stage.SCORED,     Event.REQUEUED,     State.QUEUED,           State.QUEUED,           None),
    Route(Stage.SCORED,     Event.DISCARDED,    State.DROPPED,          State.DROPPED,          None),
    Route(State.TRAINED,    Event.SAVED,        State.ACKNOWLEDGED,     State.ACKNOWLEDGED,     None),
    Route(State.TRAINED,    Event.UNSAVED,      Stage.SCORED,           Stage.SCORED,           None),
    Route(Stage.TASKS,      Event.FAILED,       State.DEAD,             State.DEAD,             None),
    Route(Stage.EVAL_TASKS, Event.FAILED,       None,                   None,                   State.DEAD),
    Route(Stage.GENERATED,  Event.FAILED,       State.DEAD,             State.DEAD,             State.DEAD),
    Route(Stage.VERIFIED,   Event.FAILED,       State.DEAD,             None,                   None),
    Route(Stage.SCORED,     Event.FAILED,       State.DEAD,             State.DEAD,             None),
    Route(Stage.TASKS,      Event.REVIVED,      State.QUEUED,           State.QUEUED,           None),
    Route(Stage.EVAL_TASKS, Event.REVIVED,      None,                   None,                   Stage.EVAL_TASKS),
    Route(Stage.GENERATED,  Event.REVIVED,      Stage.GENERATED,        Stage.GENERATED,        Stage.GENERATED),
    Route(Stage.VERIFIED,   Event.REVIVED,      Stage.VERIFIED,         None,                   None),
    Route(Stage.SCORED,     Event.REVIVED,      Stage.SCORED,           Stage.SCORED,           None),
)
# fmt: on
ENDS = frozenset({State.ACKNOWLEDGED, State.DROPPED, State.DONE, State.DEAD})
"""Places where a rollout is worked on no more, unless a dead one is revived."""

_NEXT = {
    (route.at, route.event, journey): place
    for route in TABLE
    for journey, place in zip(Journey, route[2:], strict=True)
    if place is not None
}


def journey_of(purpose: Purpose, has_critic: bool) -> Journey:
    """The journey of rollouts of one purpose in a run."""
    if purpose == "eval":
        return Journey.EVALUATION
    return Journey.WITH_CRITIC if has_critic else Journey.WITHOUT_CRITIC


def next_place(at: Place | None, event: Event, journey: Journey) -> Place:
    """Where a sample goes when ``event`` happens to it at ``at``. Raises KeyError: it cannot there."""
    return _NEXT[at, event, journey]


def destinations(event: Event) -> dict[Place | None, Place]:
    """By the place before it, where ``event`` leads on every journey on which it can happen.

    Raises:
        ValueError: that depends on the journey.
    """
    found: dict[Place | None, Place] = {}
    for (at, known, _), place in _NEXT.items():
        if known is event and found.setdefault(at, place) is not place:
            raise ValueError(f"where {event.name} leads from {at} depends on the journey; give it as an argument")
    return found
