"""Data sets: uploaded as a whole, then fed to training or used by evaluations."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from services.gateway.context import Gateway, GatewayDependency
from services.gateway.dataset_store import NAME, Dataset, Split
from services.gateway.rows.all_or_none import Strictness
from services.gateway.rows.documented_bodies import documented
from services.gateway.rows.preview import EXAMPLES_SHOWN, check_report
from services.gateway.rows.row_options import RowOptions, known_parameters
from services.gateway.rows.task_checks import dataset_check, prompt_check
from vapo.service import ADMIN, USER, require

router = APIRouter(prefix="/v1/datasets", tags=["data sets"], dependencies=[require(USER)])

BODY = documented(
    {
        "application/x-ndjson": {"type": "string"},
        "application/json": {"type": "array", "items": {"type": "object"}},
        "text/csv": {"type": "string"},
        "application/vnd.apache.parquet": {},
    }
)
NAME_SCHEMA: dict[str, Any] = {"pattern": f"^{NAME.pattern}$"}
"""Shown, not enforced: the store says more exactly what is wrong with a name."""
PathName = Annotated[str, Path(json_schema_extra=NAME_SCHEMA)]


@router.post("", status_code=201, openapi_extra=BODY, dependencies=[known_parameters("name", "split")])
async def upload(
    gateway: GatewayDependency,
    request: Request,
    response: Response,
    strictness: RowOptions,
    name: Annotated[str, Query(json_schema_extra=NAME_SCHEMA)],
    split: Split = "train",
) -> dict[str, Any]:
    """Upload JSON Lines, a JSON array, CSV or Parquet: rows as in `POST /v1/prompts`. 200 when the
    same rows are there.
    """
    with gateway.datasets.new_upload() as file:
        async for chunk in request.stream():
            file.write(chunk)
        added = await run_in_threadpool(gateway.datasets.add, name, split, file, strictness)
    response.status_code = 201 if added.is_new else 200
    gateway.feeder.wake()
    described = await run_in_threadpool(_described, gateway, added.dataset)
    return {**described, "new": added.is_new, "too_long": added.too_long}


@router.post("/check", openapi_extra=BODY, dependencies=[known_parameters("purpose", "examples")])
async def check(
    gateway: GatewayDependency,
    request: Request,
    strictness: RowOptions,
    purpose: Literal["dataset", "prompts"] = "dataset",
    examples: Annotated[int, Query(ge=0, le=100)] = EXAMPLES_SHOWN,
) -> dict[str, Any]:
    """Look at rows and keep nothing: the first prompts as the model sees them, their lengths, and
    what would be refused and why.
    """
    with gateway.datasets.new_upload() as file:
        async for chunk in request.stream():
            file.write(chunk)
        return await run_in_threadpool(_report, gateway, file, purpose, strictness, examples)


@router.get("")
def list_all(gateway: GatewayDependency) -> dict[str, Any]:
    """All data sets, with how far training has come in them."""
    return {"datasets": [_described(gateway, dataset) for dataset in gateway.datasets.all()]}


@router.get("/{name}")
def read(gateway: GatewayDependency, name: PathName) -> dict[str, Any]:
    """One data set."""
    return _described(gateway, gateway.datasets.find(name))


@router.delete("/{name}", status_code=204, dependencies=[require(ADMIN)])
def remove(gateway: GatewayDependency, name: PathName) -> None:
    """Forget a data set; tasks already queued from it are still done. Needs the admin scope."""
    gateway.datasets.remove(name)


def _report(gateway: Gateway, file: IO[bytes], purpose: str, strictness: Strictness, examples: int) -> dict[str, Any]:
    builder = gateway.builder
    check = prompt_check(builder) if purpose == "prompts" else dataset_check(builder)
    with closing(gateway.datasets.rows_of(file)) as rows:
        return check_report(builder, rows, check, strictness, examples)


def _described(gateway: Gateway, dataset: Dataset) -> dict[str, Any]:
    if dataset.split != "train":
        return asdict(dataset)
    position = gateway.feeder.position(dataset)
    return {**asdict(dataset), "epoch": position.epoch, "rows_served_this_epoch": position.row}
