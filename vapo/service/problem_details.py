"""RFC 9457 problem documents: what a client is told when something is wrong.

Invariant: every error leaves a service as ``application/problem+json`` with a title, a detail that
names thing, value and remedy, and the HTTP status; never as a stack trace.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vapo.messages import MessageError
from vapo.service.openai_errors import error_object, speaks_openai

logger = logging.getLogger(__name__)
BODY = "body"
"""Where FastAPI says a fault of the body is."""
NO_SUCH_CALL = (404, 405)
FASTAPI_CANNOT_PARSE = "There was an error parsing the body"

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Anything but success: a problem document (RFC 9457).",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string", "description": "thing, value and remedy"},
                        "errors": {
                            "type": "array",
                            "items": {"type": "object"},
                            "description": "each thing that is wrong, with its field",
                        },
                    },
                }
            }
        },
    }
}
"""How OpenAPI describes them, for every route."""


class Problem(Exception):
    """An error to tell the client about."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.extra = status, detail, headers, extra


class ProblemResponse(JSONResponse):
    """A problem document; text that is no Unicode (a lone surrogate) is written as its escape."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """The body."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def problem_response(
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    path: str = "",
    param: str | None = None,
    code: str | None = None,
    **extra: Any,
) -> JSONResponse:
    """A problem document (RFC 9457), on OpenAI's paths with the ``error`` its clients show;
    ``param`` and ``code`` are of that form only.
    """
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **extra}
    if speaks_openai(path):
        body["error"] = error_object(status, detail, param, code)
    return ProblemResponse(body, status, headers)


def install_problem_handlers(app: FastAPI) -> None:
    """Make ``app`` answer every error with a problem document."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(MessageError, _message)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Any) -> JSONResponse:
    return problem_response(error.status, error.detail, error.headers, request.url.path, **error.extra)


async def _http(request: Request, error: Any) -> JSONResponse:
    detail, path = str(error.detail), request.url.path
    if error.status_code in NO_SUCH_CALL and detail == HTTPStatus(error.status_code).phrase:
        # A client of OpenAI's API may ask for any of its calls, and shows their form of errors.
        detail = f"there is no {request.method} {path} here; GET /docs lists the calls"
        return problem_response(
            error.status_code, detail, getattr(error, "headers", None), error=error_object(error.status_code, detail)
        )
    detail = "the body is not JSON in UTF-8" if detail == FASTAPI_CANNOT_PARSE else detail
    return problem_response(error.status_code, detail, getattr(error, "headers", None), path)


async def _validation(request: Request, error: Any) -> JSONResponse:
    errors = [{"field": _field(item), "message": _plain(item)} for item in error.errors()]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in errors[:5])
    param = errors[0]["field"] if errors[0]["field"] != BODY else None
    return problem_response(422, detail, path=request.url.path, errors=errors[:50], param=param)


def _field(error: dict[str, Any]) -> str:
    location = error["loc"]
    if error["type"] == "json_invalid":
        return BODY
    inside = location[1:] if len(location) > 1 and location[0] == BODY else location
    return ".".join(map(str, inside))


def _plain(error: dict[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "is no field of this request; leave it out"
    if error["type"] == "json_invalid":
        return f"is not JSON: {error['ctx']['error']}, at character {error['loc'][-1]}"
    return error["msg"].removeprefix("Value error, ")


async def _message(request: Request, error: Any) -> JSONResponse:
    # What a client sends is checked before it becomes a record: this one was stored long ago.
    logger.error("%s %s: a stored record is malformed: %s", request.method, request.url.path, error)
    return problem_response(500, f"a stored record cannot be read: {error}", path=request.url.path)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(500, f"{type(error).__name__}; see this service's log", path=request.url.path)
