"""Serves the trainer's published versions to replicas and relays that share no disk with it.

    GET /v1/weights/VERSION/manifest.json
    GET /v1/weights/VERSION/FILE                ranges; the tag is the file's SHA-256

Invariants: only files that a version's manifest names are served, from disk, a slice at a time; a
version that was removed is a 404 that says so, also when it goes between two ranges.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Response
from fastapi import Path as PathParameter

from vapo.service import SERVICE, require
from vapo.service.problem_details import Problem, problem_response
from vapo.weights.errors import WeightsError
from vapo.weights.file_response import ServedBytes, WeightFileResponse
from vapo.weights.manifest import MANIFEST, Manifest
from vapo.weights.rate_limit import TokenBucket
from vapo.weights.versions import read_manifest, version_folder

VersionNumber = Annotated[int, PathParameter(ge=1, lt=10**8)]
JSON = "application/json"


def weights_router(directory: Path, bytes_per_second: int | None, served: ServedBytes) -> APIRouter:
    """Routes over the folder of published versions, for bearers of the service token."""
    router = APIRouter(prefix="/v1/weights", tags=["weights"], dependencies=[require(SERVICE)])
    limiter = TokenBucket(bytes_per_second)

    @router.get(f"/{{version}}/{MANIFEST}")
    def read_version_manifest(version: VersionNumber) -> Response:
        """What the version holds."""
        return Response(_manifest(directory, version).dump(), media_type=JSON)

    @router.get("/{version}/{name}", response_class=Response)
    def read_version_file(version: VersionNumber, name: str) -> Response:
        """One file of the version, or ranges of it."""
        entry = _manifest(directory, version).files.get(name)
        if entry is None:
            raise Problem(404, f"version {version} has no file {name!r}")
        try:
            return WeightFileResponse(
                version_folder(directory, version) / name,
                entry,
                limiter,
                served,
                problem_response(404, superseded(version)),
            )
        except FileNotFoundError:
            raise Problem(404, superseded(version)) from None

    return router


def superseded(version: int) -> str:
    """Detail of the 404 for a version that is no longer, or not yet, there."""
    return f"version {version} is not kept here; take the newest that was announced"


def _manifest(directory: Path, version: int) -> Manifest:
    try:
        return read_manifest(version_folder(directory, version))
    except WeightsError:
        raise Problem(404, superseded(version)) from None
