"""Keeps the training queue topped up from the data sets.

Invariants:
- each epoch serves every row of a data set once, in an order that seed, name and epoch determine;
- the position moves in the same atomic step as the tasks enter the queue, so neither a restart nor
  a second gateway loses or repeats a row;
- several data sets are mixed in proportion to their sizes.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from functools import lru_cache

from services.gateway.dataset_store import Dataset, DatasetStore
from services.gateway.rows.task_builder import TaskBuilder, TaskOrigin
from vapo.data_files.errors import RowError
from vapo.ledger import Ledger, Note, NoteConflict, QueueFull
from vapo.ledger.keys import Key
from vapo.ledger.patient_loop import PatientLoop
from vapo.messages import Task
from vapo.service.problem_details import Problem
from vapo.telemetry.quiet_log import QuietLog

logger = logging.getLogger(__name__)

TASKS_PER_STEP = 16
INTERVAL_SECONDS = 0.25
FRUITLESS_SECONDS = 5.0
FRUITLESS_STEPS = 8
"""Steps in a row that queue nothing before others get their turn: every row may be one that the run
leaves out."""


@dataclass(frozen=True)
class DatasetPosition:
    """How far training has come in one data set."""

    epoch: int = 0
    row: int = 0
    """Rows of this epoch served."""

    @classmethod
    def parse(cls, text: str) -> DatasetPosition:
        """Inverse of ``str``; the empty text is the beginning."""
        epoch, _, row = (text or "0:0").partition(":")
        return cls(int(epoch), int(row))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.row}"

    def advanced(self, by: int, rows: int) -> DatasetPosition:
        """The position ``by`` rows further on."""
        row = self.row + by
        return DatasetPosition(self.epoch, row) if row < rows else DatasetPosition(self.epoch + 1, 0)


class Feeder:
    """A thread that serves data sets into the queue whenever it runs low."""

    def __init__(self, ledger: Ledger, store: DatasetStore, builder: TaskBuilder) -> None:
        self._ledger, self._store, self._builder = ledger, store, builder
        self._low_water = ledger.settings.gateway.backlog_low_water
        self._seed = ledger.settings.run.seed
        self._random = random.Random(self._seed)
        self._pause = INTERVAL_SECONDS
        self._waiting = QuietLog(logger)
        self._loop = PatientLoop("feeder", self._round, ledger.watch.failed, "data sets wait")

    def start(self) -> None:
        """Begin feeding."""
        self._loop.start()

    def stop(self) -> None:
        """End after the step in hand."""
        self._loop.stop()
        self._loop.join(10)

    def wake(self) -> None:
        """Look at once, for example after an upload."""
        self._loop.wake()

    def position(self, dataset: Dataset) -> DatasetPosition:
        """How far training has come in ``dataset``."""
        return DatasetPosition.parse(self._stated(dataset))

    def top_up(self) -> int:
        """Serve rows until the backlog is at its low-water mark; returns the tasks queued."""
        queued = fruitless = 0
        while fruitless < FRUITLESS_STEPS and not self._loop.stopping.is_set():
            room = self._room()
            if room <= 0:
                break
            served = self._serve_some(room)
            queued += served
            fruitless = 0 if served else fruitless + 1
        self._pause = INTERVAL_SECONDS if fruitless < FRUITLESS_STEPS else FRUITLESS_SECONDS
        return queued

    def _room(self) -> int:
        """Tasks to queue in one step: few, and no more than may wait."""
        waiting = self._ledger.depths()["backlog"]
        if waiting >= self._low_water:
            return 0
        return min(TASKS_PER_STEP, self._ledger.settings.ledger.task_queue_limit - waiting)

    def _round(self) -> float:
        try:
            self.top_up()
        except (OSError, Problem) as error:
            self._waiting.warn(str(error), f"data sets wait: {error}")
        return self._pause

    def _serve_some(self, most: int) -> int:
        trained = [dataset for dataset in self._store.all() if dataset.split == "train"]
        if not trained:
            return 0
        dataset = self._random.choices(trained, [each.rows for each in trained])[0]
        return self._serve(dataset, self._stated(dataset), most)

    def _serve(self, dataset: Dataset, stated: str, most: int) -> int:
        position = DatasetPosition.parse(stated)
        order = epoch_order(self._seed, dataset.name, position.epoch, dataset.rows)
        numbers = order[position.row : position.row + most]
        after = position.advanced(len(numbers), dataset.rows)
        tasks = self._tasks(dataset, position.epoch, numbers)
        try:
            self._ledger.submit(tasks, [Note(Key.DATASET_POSITIONS, _identity(dataset), stated, str(after))])
        except (QueueFull, NoteConflict) as error:
            logger.info("data set %s waits: %s", dataset.name, error)
            return 0
        return len(tasks)

    def _stated(self, dataset: Dataset) -> str:
        return self._ledger.note(Key.DATASET_POSITIONS, _identity(dataset))

    def _tasks(self, dataset: Dataset, epoch: int, numbers: tuple[int, ...]) -> list[Task]:
        tasks, left_out = [], []
        for number, row in zip(numbers, self._store.read(dataset, numbers), strict=True):
            task_id = f"{dataset.name}-{dataset.sha256[:8]}-e{epoch}-{number}"
            try:
                tasks.append(self._builder.build(number + 1, row, task_id, TaskOrigin(dataset=dataset.name)))
            except RowError as error:  # the run's limits were lowered since the upload
                left_out.append(error)
        if left_out:
            logger.warning("data set %s: %d rows are left out, the first: %s", dataset.name, len(left_out), left_out[0])
        return tasks


def _identity(dataset: Dataset) -> str:
    return f"{dataset.name}:{dataset.sha256[:16]}"


@lru_cache(maxsize=16)
def epoch_order(seed: int, name: str, epoch: int, rows: int) -> tuple[int, ...]:
    """The order in which one epoch serves a data set's rows."""
    numbers = list(range(rows))
    random.Random(f"{seed}/{name}/{epoch}").shuffle(numbers)
    return tuple(numbers)
