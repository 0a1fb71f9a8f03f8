"""The HTTP side of the value service.

Invariants: token ids in, never text, and nothing is cut silently; values come in the order of the
items; all values of a request come from one critic version.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from services.value.part import ValuePart
from services.value.replica import UnfitTokens
from services.value.scorer import Scored, Scorer, ScorerClosed
from vapo.messages import token_array
from vapo.model.packing import TokenSequence
from vapo.service import USER, require
from vapo.service.item_batch import ItemBatch, items_of
from vapo.service.problem_details import Problem
from vapo.service.waiting_room import WaitingRoom

DEADLINE_SECONDS = 120.0
RETRY_LATER = {"Retry-After": "1"}

TokenId = Annotated[int, Field(ge=0, lt=2**31)]


class ResponseToScore(BaseModel):
    """One response to score."""

    model_config = ConfigDict(extra="forbid")

    prompt_token_ids: list[TokenId] = Field(min_length=1)
    response_token_ids: list[TokenId] = Field(
        min_length=1, description="The generated tokens, end of sequence included."
    )


class ResponsesToScore(ItemBatch[ResponseToScore]):
    """Several responses to score."""


class Scores(BaseModel):
    """What the critic makes of each response."""

    critic_version: int = Field(description="0 is the base model with a zero value head")
    values: list[list[float]] = Field(
        description="for each response of L tokens, L + 1 float32: the value of the state before "
        "each token, then after the last (to bootstrap a response that was cut off)"
    )


def add_routes(app: FastAPI, part: ValuePart) -> None:
    """Score, and tell with which critic."""
    room = WaitingRoom(part.settings.value.queue_limit, "value.queue_limit")

    @app.post("/v1/values", dependencies=[require(USER)], tags=["value"])
    async def values(request: ResponseToScore | ResponsesToScore) -> Scores:
        """Score one response, or several under the same critic version."""
        items = items_of(request)
        with room.enter(len(items)):
            scored = await score(part.scorer, [_sequence(item) for item in items])
        return Scores(critic_version=scored.critic_version, values=[array.tolist() for array in scored.values])

    @app.get("/v1/weights", dependencies=[require(USER)], tags=["value"])
    def weights() -> dict[str, Any]:
        """Version, step, SHA-256 and state of the critic in use."""
        return part.weights()


async def score(scorer: Scorer, sequences: list[TokenSequence]) -> Scored:
    """Values of ``sequences``.

    Raises:
        Problem: 422 for tokens that the model cannot read, 503 when the deadline passes or the
            service is shutting down.
    """
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await asyncio.wrap_future(scorer.submit(sequences))
    except UnfitTokens as error:
        raise Problem(422, str(error)) from None
    except ScorerClosed as error:
        raise Problem(503, str(error), RETRY_LATER) from None
    except TimeoutError:
        detail = f"not scored within {DEADLINE_SECONDS:g} s; send less at once or add replicas"
        raise Problem(503, detail, RETRY_LATER) from None


def _sequence(item: ResponseToScore) -> TokenSequence:
    return TokenSequence(token_array(item.prompt_token_ids), token_array(item.response_token_ids))
