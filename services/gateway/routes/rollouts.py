"""Rollouts: what the model answered, and what each part made of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query

from services.gateway.context import HOLDS_RUN, Gateway, GatewayDependency
from vapo.ledger.newest import Cursor, Look
from vapo.messages import Purpose, Rollout
from vapo.service import USER, require
from vapo.service.problem_details import Problem

router = APIRouter(prefix="/v1/rollouts", tags=["rollouts"], dependencies=[require(USER), HOLDS_RUN])

State = Literal["generated", "verified", "scored", "trained", "acknowledged", "dropped", "done", "dead"]
SHOWN_TEXT = 2000
SCANNED = 20_000
"""Most rollouts looked at for one filtered list."""


@router.get("")
def list_newest(
    gateway: GatewayDependency,
    state: State | None = None,
    purpose: Purpose | None = None,
    task: str | None = None,
    before: str | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """The rollouts generated last that match, newest first, without tokens; dead ones only when
    asked for. `next`, given as `before`, asks for older ones; null: there are none.

    A rare state or purpose is looked for among 20,000 rollouts at a time, so that a list may be
    shorter than `limit` and still have a `next`.
    """
    search = _Search(_looks(gateway, _cursor(before), task), state, purpose)
    found: list[Rollout] = []
    while len(found) < limit and (ids := list(itertools.islice(search, limit - len(found)))):
        found += gateway.ledger.readable_rollouts(ids)
    more = search.last if len(found) == limit or search.cut_short else None
    return {"rollouts": [outline(rollout) for rollout in found], "next": None if more is None else str(more)}


@router.get("/{rollout_id:path}")
def read(gateway: GatewayDependency, rollout_id: str) -> dict[str, Any]:
    """One rollout whole: tokens, log-probs, values, advantages, verdict, versions, times."""
    rollout = gateway.ledger.rollout(rollout_id)
    if rollout is None:
        raise Problem(
            404,
            f"no rollout {rollout_id!r}: it was not generated yet, or its payload was "
            f"trimmed (ledger.retained_rollouts="
            f"{gateway.settings.ledger.retained_rollouts})",
        )
    return whole(rollout)


def outline(rollout: Rollout) -> dict[str, Any]:
    """What a list shows of a rollout."""
    generated, verdict = rollout.generated, rollout.verdict
    return {
        "id": rollout.id,
        "task": rollout.task.id,
        "state": rollout.state,
        "purpose": rollout.task.purpose,
        "dataset": rollout.task.dataset,
        "evaluation": rollout.task.evaluation,
        "prompt": rollout.task.prompt[:SHOWN_TEXT],
        "answer": rollout.task.answer,
        "text": generated.text[:SHOWN_TEXT],
        "length": int(generated.token_ids.size),
        "finish_reason": generated.finish_reason,
        "verdict": verdict.verdict if verdict else None,
        "reward": verdict.reward if verdict else None,
        "oldest_weight_version": generated.oldest_version,
        "newest_weight_version": generated.newest_version,
        "dropped": rollout.dropped,
        "timestamps": rollout.timestamps,
    }


def whole(rollout: Rollout) -> dict[str, Any]:
    """All that is known of a rollout, JSON-ready."""
    generated, verdict, values = rollout.generated, rollout.verdict, rollout.values
    return {
        **outline(rollout),
        "prompt": rollout.task.prompt,
        "text": generated.text,
        "metadata": rollout.task.metadata,
        "generator": generated.generator,
        "prompt_token_ids": rollout.task.prompt_token_ids.tolist(),
        "token_ids": generated.token_ids.tolist(),
        "behaviour_log_probs": generated.behaviour_log_probs.tolist(),
        "version_spans": [[span.version, span.start, span.end] for span in generated.version_spans],
        "extracted": verdict.extracted if verdict else None,
        "verdict_reason": verdict.reason if verdict else None,
        "values": values.values.tolist() if values else None,
        "critic_version": values.critic_version if values else None,
        "training": _readable(rollout.training),
    }


class _Search:
    """Ids of the rollouts that match, and how far it has looked."""

    def __init__(self, looks: Iterator[Look], state: State | None, purpose: Purpose | None) -> None:
        self._looks, self._state, self._purpose = looks, state, purpose
        self._looked = 0
        self.last: Cursor | None = None

    def __iter__(self) -> Iterator[str]:
        for look in self._looks:
            self._looked, self.last = self._looked + 1, look.cursor
            if self._matches(look):
                yield look.cursor.id
            if self.cut_short:
                return

    @property
    def cut_short(self) -> bool:
        """Whether it has ended before the list has."""
        return self._looked >= SCANNED

    def _matches(self, look: Look) -> bool:
        fits = look.state != "dead" if self._state is None else look.state == self._state
        return fits and self._purpose in (None, look.purpose)


def _looks(gateway: Gateway, before: Cursor | None, task: str | None) -> Iterator[Look]:
    if task is None:
        return gateway.ledger.newest_rollouts(before)
    looks = gateway.ledger.rollouts_of(task)
    return iter([look for look in looks if before is None or look.cursor < before])


def _cursor(text: str | None) -> Cursor | None:
    try:
        return None if text is None else Cursor.parse(text)
    except ValueError as error:
        raise Problem(422, f"before: {error}; give the `next` of an earlier list") from None


def _readable(training: dict[str, Any] | None) -> dict[str, Any] | None:
    """The trainer's note; its arrays are raw little-endian float32."""
    if training is None:
        return None
    return {
        name: np.frombuffer(value, "<f4").tolist() if isinstance(value, bytes) else value
        for name, value in training.items()
    }
