"""The HTTP side of the verifier.

Invariants: verdicts come in the order of the items; the number of judgements that wait is bounded;
a request changes nothing in the ledger.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from services.verifier.part import VerifierPart
from services.verifier.pool import PoolError
from services.verifier.registry import UnknownVerifier, names
from services.verifier.service import VerifierService
from vapo.messages import Verdict
from vapo.service import USER, require
from vapo.service.item_batch import ItemBatch, items_of
from vapo.service.problem_details import Problem
from vapo.service.waiting_room import WaitingRoom

RETRY_LATER = {"Retry-After": "1"}


class ResponseToJudge(BaseModel):
    """One response to judge."""

    model_config = ConfigDict(extra="forbid")

    response: str = Field(description="What the model wrote.")
    reference: str = Field(min_length=1, description="The reference answer.")
    verifier: str = Field("", max_length=200, description="Name of the verifier; default math.")


class ResponsesToJudge(ItemBatch[ResponseToJudge]):
    """Several responses to judge."""


class Answer(BaseModel):
    """What became of one response."""

    verdict: str = Field(description="correct, wrong, no_answer, timeout or error")
    reward: float | None = Field(description="null when the response could not be judged fairly")
    extracted: str | None = Field(description="the answer that was read out of the response")
    reason: str


class Answers(BaseModel):
    """Verdicts in the order of the items."""

    verdicts: list[Answer]


def add_routes(app: FastAPI, part: VerifierPart) -> None:
    """Judge, and tell what judges."""
    service, settings = part.service, part.settings.verifier
    room = WaitingRoom(settings.queue_limit, "verifier.queue_limit")
    threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="judge")

    @app.post("/v1/verify", dependencies=[require(USER)], tags=["verifier"])
    def verify(request: ResponseToJudge | ResponsesToJudge) -> Answers:
        """Judge one response, or several: verdicts come in the order of the items."""
        items = items_of(request)
        with room.enter(len(items)):
            verdicts = judge_all(service, threads, items)
        return Answers(verdicts=[Answer(**asdict(verdict)) for verdict in verdicts])

    @app.get("/v1/verifiers", dependencies=[require(USER)], tags=["verifier"])
    def verifiers() -> dict[str, Any]:
        """Names of the verifiers that a task may choose."""
        return {"verifiers": names(), "default": settings.default}


def judge_all(service: VerifierService, threads: ThreadPoolExecutor, items: list[ResponseToJudge]) -> list[Verdict]:
    """Verdicts in order: the cheap ones here, the others in worker processes side by side.

    Raises:
        Problem: 422 for an unknown verifier, 503 when no worker process could be had.
    """
    try:
        waiting = [_begin(service, threads, item) for item in items]
        return [entry.result() if isinstance(entry, Future) else entry for entry in waiting]
    except UnknownVerifier as error:
        raise Problem(422, str(error)) from None
    except PoolError as error:
        raise Problem(503, str(error), RETRY_LATER) from None


def _begin(service: VerifierService, threads: ThreadPoolExecutor, item: ResponseToJudge) -> Verdict | Future[Verdict]:
    fields = item.verifier, item.response, item.reference
    return service.judge_cheaply(*fields) or threads.submit(service.judge_carefully, *fields)
