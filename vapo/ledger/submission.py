"""What is submitted, what must change with it, and why it may be refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vapo.ledger.routes import Event, journey_of, next_place
from vapo.messages import Task, content_digest, encode

DIFFERING_SHOWN = 5


class QueueFull(RuntimeError):
    """The task queue holds as many tasks as it may; try again later."""


class TaskTaken(RuntimeError):
    """An evaluation would need a task id that something else has."""


class TaskDiffers(RuntimeError):
    """Ids are known with another prompt or answer than they come with."""

    def __init__(self, ids: Sequence[str]) -> None:
        shown = ", ".join(map(repr, ids[:DIFFERING_SHOWN]))
        more = f" and {len(ids) - DIFFERING_SHOWN} more" if len(ids) > DIFFERING_SHOWN else ""
        super().__init__(
            f"known with another prompt or answer: {shown}{more}; an id stands for one problem, so "
            "give a changed one an id of its own"
        )
        self.ids = tuple(ids)


class NoteConflict(RuntimeError):
    """A note was changed by someone else since it was read."""


@dataclass(frozen=True)
class Note:
    """A text that must change together with a submission: a data set's position, a record."""

    hash: str
    """Name of the run's hash it is kept in."""
    field: str
    expected: str
    """What it must be now; empty for "not there yet"."""
    value: str


def arguments(tasks: Sequence[Task], notes: Sequence[Note], has_critic: bool) -> Iterator[Any]:
    """Notes and tasks as the script ``submit_tasks`` reads them."""
    yield len(notes)
    for note in notes:
        yield from (note.hash, note.field, note.expected, note.value)
    for task in tasks:
        place = next_place(None, Event.SUBMITTED, journey_of(task.purpose, has_critic))
        compared = int(task.dataset is None)
        yield from (task.id, encode(task), task.samples, task.purpose, task.evaluation or "")
        yield from (content_digest(task), place, compared)


def refusal(reply: Any, tasks: Sequence[Task], notes: Sequence[Note], limit: int) -> RuntimeError | None:
    """What a reply of the script says against a submission; None when it was accepted."""
    if reply == -1:
        return QueueFull(
            f"no room for {len(tasks)} more tasks: at most {limit} may wait "
            "(ledger.task_queue_limit); retry later or raise the limit"
        )
    if reply == -2:
        return NoteConflict(f"{', '.join(note.field for note in notes)} changed meanwhile")
    if reply == -3:
        return TaskTaken(
            f"a task of evaluation {tasks[0].evaluation!r} would have the id of a "
            "prompt that was submitted before; choose another id for it"
        )
    if reply and reply[0] == -4:
        return TaskDiffers([tasks[number - 1].id for number in reply[1:]])
    return None
