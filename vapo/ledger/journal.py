"""What a run tells: metrics per step, events as they happen, results of evaluations.

Invariants: a training step has one metrics row; writing it again (after a resume) replaces it; what
is stored is JSON as every client reads it (RFC 8259): a figure that is not finite is null.
"""

from __future__ import annotations

import json
import time
from typing import Any

from pydantic_core import to_json

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Key, Keys
from vapo.messages import Rollout, Verdict

EVENTS_KEPT = 10_000


class Journal:
    """Metrics, events and evaluation results of a run."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis, self._keys = redis, keys
        self._metrics, self._events = keys.named(Key.METRICS), keys.named(Key.EVENTS)
        self._course = keys.named(Key.COURSE)

    def write_metrics(self, step: int, metrics: dict[str, Any]) -> None:
        """Store the row of one training step and tell listeners."""
        row = {"step": step, "at": time.time(), **metrics}
        with self._redis.pipeline() as pipe:
            pipe.zremrangebyscore(self._metrics, step, step)
            pipe.zadd(self._metrics, {_dumped(row): step})
            pipe.execute()
        self.tell("metrics", row)

    def forget_metrics_after(self, step: int) -> None:
        """Drop rows of steps that a resumed trainer will do again."""
        self._redis.zremrangebyscore(self._metrics, f"({step}", "+inf")

    def metrics(self, last: int | None = None) -> list[dict[str, Any]]:
        """Rows in step order; only the ``last`` ones if given."""
        start = 0 if last is None else -last
        return [json.loads(row) for row in self._redis.zrange(self._metrics, start, -1)]

    def note_course(self, state: str, **fields: Any) -> None:
        """The trainer's word on its course: running, or how it ended, at which step, why."""
        self._redis.set(self._course, _dumped({"state": state, "at": time.time(), **fields}))

    def course(self) -> dict[str, Any] | None:
        """What the trainer said of its course last; None before its first start."""
        found = self._redis.get(self._course)
        return None if found is None else json.loads(found)

    def forget_course(self) -> None:
        """A run starts again; an earlier start's end is not this one's."""
        self._redis.delete(self._course)

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Append an event (``metrics``, ``weights``, ``evaluation``, ``fleet``, ``control``...)."""
        self._redis.xadd(self._events, {"kind": kind, "data": _dumped(data)}, maxlen=EVENTS_KEPT, approximate=True)

    def events(self, after: str, block_seconds: float, count: int = 100) -> list[tuple[str, str, dict[str, Any]]]:
        """(id, kind, data) of events after ``after`` (``$``: new ones); waits at most that long."""
        reply = self._redis.xread({self._events: after}, count=count, block=max(1, int(block_seconds * 1000)))
        entries = [entry for _, entries in (reply or []) for entry in entries]
        return [(entry.decode(), fields[b"kind"].decode(), json.loads(fields[b"data"])) for entry, fields in entries]

    def newest_event(self) -> str:
        """Id of the last event; ``0-0`` when there is none."""
        entries = self._redis.xrevrange(self._events, count=1)
        return entries[0][0].decode() if entries else "0-0"

    def note_verdict(self, rollout: Rollout, verdict: Verdict) -> None:
        """Store one judged response of an evaluation."""
        result = {
            "verdict": verdict.verdict,
            "extracted": verdict.extracted,
            "tokens": int(rollout.generated.token_ids.size),
            "oldest_version": rollout.generated.oldest_version,
            "newest_version": rollout.generated.newest_version,
            "finish_reason": rollout.generated.finish_reason,
            **({"reason": verdict.reason} if verdict.reward is None else {}),
        }
        self._redis.hset(self._keys.evaluation(rollout.task.evaluation or "none"), rollout.id, _dumped(result))

    def results(self, evaluation_id: str) -> dict[str, dict[str, Any]]:
        """Rollout id to verdict, extracted answer, length and versions of one evaluation."""
        found = self._redis.hgetall(self._keys.evaluation(evaluation_id))
        return {rollout_id.decode(): json.loads(result) for rollout_id, result in found.items()}


def _dumped(data: dict[str, Any]) -> bytes:
    return to_json(data, inf_nan_mode="null")
