"""Held-out evaluations: avg@k, pass@k, maj@k."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field, ValidationError, model_validator

from services.gateway.context import HOLDS_RUN, TAKES_WRITES, Gateway, GatewayDependency
from services.gateway.evaluations import EvaluationRecord, RowErrors
from services.gateway.routes.prompts import raw_body
from services.gateway.rows.all_or_none import check_all, refusal
from services.gateway.rows.bodies import parse_json
from services.gateway.rows.documented_bodies import documented, schema_of
from services.gateway.rows.row import Row, RowSampling, Strict, parse_held_out
from vapo.ledger import TaskTaken
from vapo.service import USER, require
from vapo.service.problem_details import Problem
from vapo.settings import EvaluationSettings
from vapo.settings.sampling_bounds import NewTokens, Samples, Temperature, TopP, greedy_refusal

router = APIRouter(prefix="/v1/evaluations", tags=["evaluations"], dependencies=[require(USER), HOLDS_RUN])


class EvaluationRequest(Strict):
    """What to evaluate, and how to sample."""

    id: str | None = Field(None, pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Idempotency key; made when absent."""
    dataset: str | None = None
    problems: list[Any] | None = None
    samples: Samples | None = None
    """Default: evaluation.samples; 1 when the request is greedy."""
    temperature: Temperature | None = None
    """0 is greedy. Default: evaluation.temperature."""
    top_p: TopP | None = None
    max_new_tokens: NewTokens | None = None

    @model_validator(mode="after")
    def _one_source(self) -> EvaluationRequest:
        if (self.dataset is None) == (not self.problems):
            raise ValueError("give either dataset (a name) or problems (a list that is not empty)")
        return self


BODY = documented({"application/json": schema_of(EvaluationRequest)})


@router.post("", status_code=202, openapi_extra=BODY, dependencies=[TAKES_WRITES])
def start(gateway: GatewayDependency, body: Annotated[bytes, Depends(raw_body)]) -> dict[str, Any]:
    """Start an evaluation under the weights each generator has when it begins a response."""
    request = _parse(body)
    samples = _samples(request, gateway.settings.evaluation)
    sampling = RowSampling(temperature=request.temperature, top_p=request.top_p, max_new_tokens=request.max_new_tokens)
    try:
        record = gateway.evaluations.start(_rows(gateway, request), request.dataset, sampling, samples, request.id)
    except RowErrors as error:
        raise refusal(error.errors) from None
    except TaskTaken as error:
        raise Problem(409, str(error)) from None
    return gateway.evaluations.summary(record)


@router.get("")
def list_all(gateway: GatewayDependency) -> dict[str, Any]:
    """All evaluations, newest first."""
    return {"evaluations": [gateway.evaluations.summary(record) for record in gateway.evaluations.all()]}


@router.get("/{evaluation_id}")
def read(gateway: GatewayDependency, evaluation_id: str, problems: bool = False) -> dict[str, Any]:
    """Progress and scores; with `problems=true` also the results of each problem."""
    record = _found(gateway, evaluation_id)
    summary = gateway.evaluations.summary(record)
    return {**summary, "results": gateway.evaluations.problems(record)} if problems else summary


def _parse(body: bytes) -> EvaluationRequest:
    try:
        return EvaluationRequest.model_validate(parse_json(body))
    except ValidationError as error:
        errors = [{"field": ".".join(map(str, item["loc"])), "message": item["msg"]} for item in error.errors()]
        raise Problem(422, f"{errors[0]['field'] or 'evaluation'}: {errors[0]['message']}", errors=errors) from None


def _samples(request: EvaluationRequest, defaults: EvaluationSettings) -> int:
    """Responses per problem. Raises Problem 422: several that would all be the same."""
    temperature = defaults.temperature if request.temperature is None else request.temperature
    if request.samples is None:
        return defaults.samples if temperature > 0 else 1
    refusal = greedy_refusal(temperature, request.samples)
    if refusal:
        raise Problem(422, f"samples: {refusal}", errors=[{"field": "samples", "message": refusal}])
    return request.samples


def _rows(gateway: Gateway, request: EvaluationRequest) -> list[Row]:
    if request.dataset is None:
        return check_all(enumerate(request.problems or [], start=1), parse_held_out).rows
    dataset = gateway.datasets.find(request.dataset)
    return gateway.datasets.read(dataset, range(dataset.rows))


def _found(gateway: Gateway, evaluation_id: str) -> EvaluationRecord:
    record = gateway.evaluations.find(evaluation_id)
    if record is None:
        raise Problem(404, f"no evaluation {evaluation_id!r}; GET /v1/evaluations lists them")
    return record
