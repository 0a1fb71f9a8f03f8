"""Held-out evaluations: started at once as a whole, scored when every response is accounted for.

Invariants:
- an evaluation's record and all of its tasks appear in one atomic step, so it is whole or absent;
- every response is accounted for, so an evaluation always ends; scores are over those that were
  judged, and what failed or could not be judged is counted apart, with its reasons.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from services.gateway import scores
from services.gateway.rows.row import Row, RowSampling
from services.gateway.rows.task_builder import TaskBuilder, TaskOrigin
from vapo.data_files.errors import RowError
from vapo.ledger import Ledger, Note, NoteConflict
from vapo.ledger.keys import Key, State
from vapo.ledger.steps import step_of_version
from vapo.messages import Task

RECORDS, PROBLEMS, SUMMARIES = Key.EVALUATIONS, Key.EVALUATION_PROBLEMS, Key.EVALUATION_SUMMARIES
JUDGED, FAILED = ("correct", "wrong", "no_answer"), State.FAILED
REASONS_SHOWN = 5
EvaluationState = Literal["running", "finished", "finished_with_failures", "failed"]
"""``failed``: nothing could be judged."""
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class EvaluationRecord:
    """What was asked."""

    id: str
    dataset: str | None
    problems: int
    samples: int
    temperature: float
    top_p: float
    max_new_tokens: int
    created_at: float

    @property
    def responses(self) -> int:
        """All responses it waits for."""
        return self.problems * self.samples

    def rollout_ids(self, problem: int) -> list[str]:
        """Rollouts of one problem."""
        return [f"{task_id(self.id, problem)}.{sample}" for sample in range(self.samples)]


class Evaluations:
    """Starts, watches and scores evaluations of one run."""

    def __init__(self, ledger: Ledger, builder: TaskBuilder) -> None:
        self._ledger, self._builder = ledger, builder

    def start(
        self,
        rows: Sequence[Row],
        dataset: str | None,
        sampling: RowSampling,
        samples: int,
        evaluation_id: str | None = None,
    ) -> EvaluationRecord:
        """Queue an evaluation. One whose id is known is returned as it is.

        Raises:
            RowErrors: rows that do not fit the model.
            TaskTaken: prompts have the ids that its tasks would have.
        """
        settings = self._ledger.settings
        default = settings.evaluation.temperature
        record = EvaluationRecord(
            evaluation_id or f"eval-{uuid.uuid4().hex[:12]}",
            dataset,
            len(rows),
            samples,
            default if sampling.temperature is None else sampling.temperature,
            sampling.top_p or settings.evaluation.top_p,
            sampling.max_new_tokens or settings.sampling.max_new_tokens,
            time.time(),
        )
        tasks = self._tasks(record, rows)
        labels = [{"id": row.id or str(index), "answer": row.answer} for index, row in enumerate(rows)]
        try:
            self._ledger.submit(
                tasks,
                [
                    Note(RECORDS, record.id, "", json.dumps(asdict(record))),
                    Note(PROBLEMS, record.id, "", json.dumps(labels)),
                ],
            )
        except NoteConflict:
            return self.find(record.id) or record
        return record

    def find(self, evaluation_id: str) -> EvaluationRecord | None:
        """The record of an evaluation, or None."""
        text = self._ledger.note(RECORDS, evaluation_id)
        return EvaluationRecord(**json.loads(text)) if text else None

    def all(self) -> list[EvaluationRecord]:
        """All records, newest first."""
        raw = self._ledger.redis.hvals(self._ledger.keys.named(RECORDS))
        records = [EvaluationRecord(**json.loads(text)) for text in raw]
        return sorted(records, key=lambda record: record.created_at, reverse=True)

    def summary(self, record: EvaluationRecord) -> dict[str, Any]:
        """Progress and scores; scores over what is judged so far until it is finished."""
        finished = self._ledger.note(SUMMARIES, record.id)
        if finished:
            return json.loads(finished)
        return summarise(record, self._ledger.journal.results(record.id))

    def problems(self, record: EvaluationRecord) -> list[dict[str, Any]]:
        """Results problem by problem."""
        labels = json.loads(self._ledger.note(PROBLEMS, record.id) or "[]")
        results = self._ledger.journal.results(record.id)
        return [{**label, **_problem(record, index, results)} for index, label in enumerate(labels)]

    def finish_due(self) -> list[dict[str, Any]]:
        """Score and announce evaluations whose last response came in."""
        told = (self._finish(record) for record in self._unfinished() if self._complete(record))
        return [summary for summary in told if summary is not None]

    def _unfinished(self) -> Iterator[EvaluationRecord]:
        known = self._ledger.redis.hkeys(self._ledger.keys.named(SUMMARIES))
        done = {name.decode() for name in known}
        return (record for record in self.all() if record.id not in done)

    def _complete(self, record: EvaluationRecord) -> bool:
        return self._ledger.redis.hlen(self._ledger.keys.evaluation(record.id)) >= record.responses

    def _finish(self, record: EvaluationRecord) -> dict[str, Any] | None:
        summary = summarise(record, self._ledger.journal.results(record.id))
        summary["finished_at"] = time.time()
        summary["step"] = self._step_of(summary.get("newest_weight_version"))
        first = self._ledger.redis.hsetnx(self._ledger.keys.named(SUMMARIES), record.id, json.dumps(summary))
        if not first:
            return None
        self._ledger.journal.tell("evaluation", summary)
        return summary

    def _step_of(self, version: int | None) -> int | None:
        """The training step whose weights answered last; None where nothing was answered."""
        return None if version is None else step_of_version(self._ledger.journal.metrics(), version)

    def _tasks(self, record: EvaluationRecord, rows: Sequence[Row]) -> list[Task]:
        imposed = RowSampling(temperature=record.temperature, top_p=record.top_p, max_new_tokens=record.max_new_tokens)
        origin = TaskOrigin("eval", record.id, record.dataset, record.samples, imposed)
        tasks, errors = [], []
        for index, row in enumerate(rows):
            try:
                tasks.append(self._builder.build(index + 1, row, task_id(record.id, index), origin))
            except RowError as error:
                errors.append(error)
        if errors:
            raise RowErrors(errors)
        return tasks


class RowErrors(Exception):
    """Several rows were refused."""

    def __init__(self, errors: list[RowError]) -> None:
        super().__init__(f"{len(errors)} rows were refused")
        self.errors = errors


def task_id(evaluation_id: str, problem: int) -> str:
    """Id of the task of one problem of an evaluation."""
    return f"{evaluation_id}:{problem}"


def summarise(record: EvaluationRecord, results: Results) -> dict[str, Any]:
    """Progress, scores, lengths and weight versions of an evaluation.

    ``avg_at_k``, ``maj_at_k`` and each entry of ``pass_at_k`` are shares, 0 to 1, of the responses
    that were judged; they are absent while there are none. Problems of which some samples are open
    or failed count with those judged.
    """
    judged = {name: result for name, result in results.items() if result["verdict"] in JUDGED}
    failed = sum(result["verdict"] == FAILED for result in results.values())
    ended = len(results) >= record.responses
    samples = [_samples(record, problem, judged) for problem in range(record.problems)]
    return {
        **asdict(record),
        "state": _state(ended, len(judged), failed),
        "finished": ended,
        "responses_wanted": record.responses,
        "responses": len(results),
        "judged": len(judged),
        "failed": failed,
        "not_judged": len(results) - len(judged) - failed,
        "reasons": _reasons(results),
        **_scores(samples, record.samples),
        **_lengths_and_versions(results),
    }


def _state(ended: bool, judged: int, failed: int) -> EvaluationState:
    if not ended:
        return "running"
    if not judged:
        return "failed"
    return "finished_with_failures" if failed else "finished"


def _reasons(results: Results) -> list[dict[str, Any]]:
    """Why responses are missing from the scores: the commonest reasons, and how often each."""
    reasons = Counter(
        result.get("reason") or result["verdict"] for result in results.values() if result["verdict"] not in JUDGED
    )
    return [{"reason": reason, "responses": count} for reason, count in reasons.most_common(REASONS_SHOWN)]


def _scores(problems: list[list[Mapping[str, Any]]], samples: int) -> dict[str, Any]:
    begun = [results for results in problems if results]
    if not begun:
        return {}
    correct = [(sum(map(_correct, results)), len(results)) for results in begun]
    least = min(count for _, count in correct)
    sizes = [size for size in scores.pass_sizes(samples) if size <= least]
    answers = [[(result.get("extracted"), _correct(result)) for result in results] for results in begun]
    return {
        "avg_at_k": scores.average_at_k(correct),
        "standard_error": scores.standard_error(correct),
        "pass_at_k": {str(size): scores.pass_at_k(correct, size) for size in sizes},
        "maj_at_k": scores.majority_at_k(answers),
    }


def _lengths_and_versions(results: Results) -> dict[str, Any]:
    made = [result for result in results.values() if "tokens" in result]
    if not made:
        return {}
    return {
        "mean_length": sum(result["tokens"] for result in made) / len(made),
        "truncated": sum(result["finish_reason"] == "length" for result in made) / len(made),
        "oldest_weight_version": min(result["oldest_version"] for result in made),
        "newest_weight_version": max(result["newest_version"] for result in made),
    }


def _problem(record: EvaluationRecord, problem: int, results: Results) -> dict[str, Any]:
    known = _samples(record, problem, results)
    return {
        "responses": len(known),
        "correct": sum(map(_correct, known)),
        "extracted": [result.get("extracted") for result in known],
        "verdicts": [result["verdict"] for result in known],
        "rollouts": [name for name in record.rollout_ids(problem) if name in results],
    }


def _samples(record: EvaluationRecord, problem: int, results: Results) -> list[Mapping[str, Any]]:
    return [results[name] for name in record.rollout_ids(problem) if name in results]


def _correct(result: Mapping[str, Any]) -> bool:
    return result["verdict"] == "correct"
