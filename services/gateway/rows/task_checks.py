"""From undecoded rows to tasks, as a prompt of its own or as a row of a data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.gateway.rows.row import parse_row
from services.gateway.rows.task_builder import TaskBuilder
from vapo.data_files.errors import RowError
from vapo.messages import Task

Check = Callable[[int, Any], Task]


def dataset_check(builder: TaskBuilder) -> Check:
    """Makes a task of each row of a data set, whose ids are labels."""
    return lambda number, value: builder.build(number, parse_row(number, value), task_id="check")


def prompt_check(builder: TaskBuilder) -> Check:
    """Makes a task of each row of one request, whose ids must differ."""
    first_rows: dict[str, int] = {}

    def check(number: int, value: Any) -> Task:
        task = builder.build(number, parse_row(number, value))
        first = first_rows.setdefault(task.id, number)
        if first != number:
            raise RowError(number, "id", f"{task.id!r} occurs twice in the request; it is row {first}'s too")
        return task

    return check
