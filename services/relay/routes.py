"""The HTTP side of the relay: the same paths as the trainer's, from the host's cache.

Invariants: a range is answered as soon as it is here, also while the rest is still being fetched;
replicas check the whole file themselves, so nothing unchecked is ever used; an answer that the
trainer gave (404: superseded) is passed on, and a trainer that is away is a 503 to be tried again.
"""

from __future__ import annotations

import re
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Header, Response

from services.relay.part import RelayPart
from vapo.service import SERVICE, require
from vapo.service.problem_details import Problem, problem_response
from vapo.weights.download import FileDownload
from vapo.weights.errors import SupersededError, WeightsError
from vapo.weights.file_response import WeightFileResponse
from vapo.weights.manifest import MANIFEST
from vapo.weights.ranges import ByteRange
from vapo.weights.serving import JSON, VersionNumber

MOST_WAITING = 256
"""Requests that wait for their range at a time, each in a thread of its own pool, so that waiting
never keeps files from being read or health from being told."""
SHARE_OF_STALL = 0.8
"""A request waits this share of ``weights.stall_seconds``, so that it is answered before the
replica drops the connection."""
ONE_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")
RETRY_SOON = {"Retry-After": "1"}


def add_routes(app: FastAPI, relay: RelayPart) -> None:
    """Files and manifests of the announced versions."""
    router = APIRouter(prefix="/v1/weights", tags=["weights"], dependencies=[require(SERVICE)])
    patience = SHARE_OF_STALL * relay.settings.weights.stall_seconds
    threads = CapacityLimiter(MOST_WAITING)

    @router.get(f"/{{version}}/{MANIFEST}")
    async def read_version_manifest(version: VersionNumber) -> Response:
        """What the version holds."""
        dumped = await to_thread.run_sync(_manifest, relay, version, limiter=threads)
        return Response(dumped, media_type=JSON)

    @router.get("/{version}/{name}", response_class=Response)
    async def read_version_file(
        version: VersionNumber, name: str, asked: Annotated[str, Header(alias="Range")] = ""
    ) -> Response:
        """One file of the version, or a range of it."""
        return await to_thread.run_sync(_file, relay, version, name, asked, patience, limiter=threads)

    app.include_router(router)


def _manifest(relay: RelayPart, version: int) -> str:
    try:
        return relay.manifest(version).dump()
    except WeightsError as error:
        raise _problem(error) from None


def _file(relay: RelayPart, version: int, name: str, asked: str, patience: float) -> Response:
    try:
        download = relay.download(version, name)
        if download is None:
            raise Problem(404, f"version {version} has no file {name!r}")
        if not download.wait_for(wanted_range(asked, download.entry.bytes), patience):
            raise Problem(503, f"{name} of version {version} is still on its way", RETRY_SOON)
        return _response(relay, download)
    except WeightsError as error:
        raise _problem(error) from None


def _response(relay: RelayPart, download: FileDownload) -> Response:
    # A file that has just got its name is found under it by the next request.
    moved = problem_response(503, "the file has just become complete; ask again", RETRY_SOON)
    try:
        return WeightFileResponse(download.path, download.entry, relay.limiter, relay.served, moved)
    except FileNotFoundError:
        return moved


def _problem(error: WeightsError) -> Problem:
    if isinstance(error, SupersededError):
        return Problem(404, f"the trainer does not have it: {error}")
    return Problem(503, f"the relay has no weights to give: {error}", RETRY_SOON)


def wanted_range(header: str, size: int) -> ByteRange:
    """The bytes a Range header needs; all of the file unless it asks for one plain range."""
    match = ONE_RANGE.fullmatch(header.strip())
    if match is None:
        return ByteRange(0, size)
    return ByteRange(int(match[1]), min(int(match[2]) + 1, size))
