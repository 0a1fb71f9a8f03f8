"""Single prompts: posted as they appear, idempotent by id."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from services.gateway.context import HOLDS_RUN, TAKES_WRITES, Gateway, GatewayDependency
from services.gateway.rows.all_or_none import ERRORS_SHOWN, check_all
from services.gateway.rows.bodies import NDJSON_TYPES, rows_of_body
from services.gateway.rows.documented_bodies import documented, schema_of
from services.gateway.rows.row import Row
from services.gateway.rows.row_options import RowOptions, known_parameters
from services.gateway.rows.task_checks import prompt_check
from vapo.ledger import QueueFull, TaskDiffers
from vapo.service import USER, require
from vapo.service.problem_details import Problem

router = APIRouter(tags=["prompts"], dependencies=[require(USER), HOLDS_RUN])

RETRY_SECONDS = 5
ROW = schema_of(Row)
ROWS = {"type": "array", "items": ROW, "minItems": 1}
WRAPPED_ROWS = {
    "type": "object",
    "properties": {"prompts": ROWS},
    "required": ["prompts"],
    "additionalProperties": False,
}
BODY = documented({"application/json": {"anyOf": [WRAPPED_ROWS, ROW, ROWS]}, NDJSON_TYPES[0]: {"type": "string"}})


async def raw_body(request: Request) -> bytes:
    """The body's bytes; the size limit applies while they are read."""
    return await request.body()


@router.post("/v1/prompts", status_code=202, openapi_extra=BODY, dependencies=[known_parameters(), TAKES_WRITES])
def submit(
    gateway: GatewayDependency, request: Request, body: Annotated[bytes, Depends(raw_body)], strictness: RowOptions
) -> dict[str, Any]:
    """Queue prompts with reference answers: all of the request, or nothing.

    Body: `{"prompts": [{"prompt" | "messages" | "prompt_token_ids", "answer", "id"?, "verifier"?,
    "samples"?, "sampling"?, "metadata"?, "raw"?}]}`, one such object, a list, or NDJSON.
    """
    rows = rows_of_body(body, request.headers.get("content-type", ""))
    checked = check_all(rows, prompt_check(gateway.builder), strictness)
    tasks = checked.rows
    try:
        accepted = gateway.ledger.submit(tasks)
    except QueueFull as error:
        raise _no_room(error, len(tasks), gateway.settings.ledger.task_queue_limit) from None
    except TaskDiffers as error:
        raise _conflict(error) from None
    return {
        "accepted": sum(accepted),
        "already_known": accepted.count(False),
        "too_long": checked.too_long,
        "prompts": [{"id": task.id, "accepted": new} for task, new in zip(tasks, accepted, strict=True)],
    }


@router.get("/v1/prompts/{prompt_id:path}")
def read(gateway: GatewayDependency, prompt_id: str) -> dict[str, Any]:
    """How far a prompt is, and its rollouts."""
    record = gateway.ledger.task(prompt_id)
    if record is None:
        raise Problem(404, f"no prompt {prompt_id!r} was submitted to run {gateway.settings.run.name!r}")
    return {
        "id": record.id,
        "state": record.state,
        "purpose": record.purpose,
        "samples": record.samples,
        "generated": record.made,
        "prompt": record.task.prompt if record.task else None,
        "answer": record.task.answer if record.task else None,
        "metadata": record.task.metadata if record.task else None,
        "rollouts": _rollouts(gateway, prompt_id, record.samples),
    }


def _no_room(error: QueueFull, count: int, limit: int) -> Problem:
    """Asks to come back, or to send less where no time would help."""
    if count <= limit:
        return Problem(429, str(error), {"Retry-After": str(RETRY_SECONDS)})
    return Problem(
        413,
        f"{count} prompts in one request, and at most {limit} may wait "
        "(ledger.task_queue_limit); send fewer at a time, or raise the limit",
    )


def _conflict(error: TaskDiffers) -> Problem:
    """Names every prompt whose id stands for another one."""
    message = "known with another prompt or answer"
    wrong = [{"field": "id", "id": task_id, "message": message} for task_id in error.ids]
    detail = f"{error}; nothing of the request was accepted"
    return Problem(409, detail, errors=wrong[:ERRORS_SHOWN])


def _rollouts(gateway: Gateway, prompt_id: str, samples: int) -> list[dict[str, Any]]:
    names = [f"{prompt_id}.{sample}" for sample in range(samples)]
    found = zip(names, gateway.ledger.rollouts(names), strict=True)
    return [
        {
            "id": name,
            "state": rollout.state,
            "verdict": rollout.verdict.verdict if rollout.verdict else None,
            "reward": rollout.verdict.reward if rollout.verdict else None,
        }
        for name, rollout in found
        if rollout is not None
    ]
