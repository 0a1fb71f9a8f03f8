"""The live policy, in the form of OpenAI's API: requests go on to a generator."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from services.gateway.context import Gateway, GatewayDependency
from services.gateway.rows.documented_bodies import ANY_OBJECT, documented
from vapo.model.served_names import listed_name, unknown_name
from vapo.service import USER, require
from vapo.service.problem_details import Problem

router = APIRouter(prefix="/v1", tags=["live policy"], dependencies=[require(USER)])

BODY = documented({"application/json": ANY_OBJECT})
"""Checked by the generator, whose own OpenAPI page describes it."""


@router.post("/chat/completions", openapi_extra=BODY)
async def chat_completions(gateway: GatewayDependency, request: Request) -> Response:
    """OpenAI chat completions, streaming or not, from the newest weights loaded."""
    return await _pass_on(gateway, request, "/v1/chat/completions")


@router.post("/completions", openapi_extra=BODY)
async def completions(gateway: GatewayDependency, request: Request) -> Response:
    """OpenAI completions, streaming or not, from the newest weights loaded."""
    return await _pass_on(gateway, request, "/v1/completions")


@router.get("/models")
def models(gateway: GatewayDependency) -> dict[str, Any]:
    """The one model there is."""
    return {"object": "list", "data": [_model(gateway, listed_name(gateway.settings))]}


@router.get("/models/{name:path}")
def model(gateway: GatewayDependency, name: str) -> dict[str, Any]:
    """The model under any of its names: the listed one, `policy`, or the run's."""
    unknown = unknown_name(gateway.settings, name)
    if unknown:
        raise Problem(404, unknown, param="model", code="model_not_found")
    return _model(gateway, name)


def _model(gateway: Gateway, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": gateway.settings.run.name,
        "max_model_len": gateway.settings.model.max_context_tokens,
    }


async def _pass_on(gateway: Gateway, request: Request, path: str) -> Response:
    body = await request.body()
    urls = await run_in_threadpool(gateway.proxy.targets)
    return await gateway.proxy.pass_on(urls, path, body)
