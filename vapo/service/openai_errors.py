"""The ``error`` object that clients of OpenAI's API show, beside the problem document's fields.

Invariant: ``error.message`` is the problem's ``detail``: one text, in both forms.
"""

from __future__ import annotations

from typing import Any

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/models")
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}


def speaks_openai(path: str) -> bool:
    """Whether errors of ``path`` carry the object."""
    return path in PATHS or path.startswith("/v1/models/")


def error_object(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The object of one error; ``param`` is the field that is wrong."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"message": message, "type": kind, "param": param, "code": code or str(status)}
