"""From the bytes of a request to rows.

Invariant: bytes that are not UTF-8 JSON are refused with the place where they stop being so; NaN
and Infinity are not JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import from_json

from services.gateway.rows import RowError
from vapo.problems import Problem

NDJSON_TYPES = (
    "application/x-ndjson",
    "application/jsonl",
    "application/ndjson",
    "application/x-jsonlines",
)


def rows_of_body(body: bytes, content_type: str) -> list[Any]:
    """Undecoded rows of ``{"prompts": [...]}``, a bare list, one object, or NDJSON.

    Raises:
        Problem: 422, the body is not UTF-8 JSON or holds no row.
        RowError: a line of NDJSON is not JSON.
    """
    if content_type.partition(";")[0].strip().lower() in NDJSON_TYPES:
        rows = [value for _, value in json_lines(body.splitlines())]
    else:
        rows = _unwrap(parse_json(body))
    if not rows:
        raise Problem(
            422, 'the request holds no prompt; send {"prompts": [{"prompt": ..., "answer": ...}]}'
        )
    return rows


def parse_json(body: bytes) -> Any:
    """One JSON value. Raises Problem 422."""
    try:
        return from_json(as_text(body), allow_inf_nan=False)
    except ValueError as error:
        raise Problem(422, f"the body is not JSON: {error}") from None


def json_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, Any]]:
    """Row number and value of each line that is not blank. Raises RowError."""
    index = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            yield index, from_json(line.decode("utf-8"), allow_inf_nan=False)
        except UnicodeDecodeError as error:
            raise RowError(index, "", f"is not UTF-8: {_place(error)}") from None
        except ValueError as error:
            raise RowError(index, "", f"is not JSON: {error}") from None
        index += 1


def as_text(body: bytes) -> str:
    """The body as text. Raises Problem 422 when it is not UTF-8."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem(422, f"the body is not UTF-8: {_place(error)}") from None


def _unwrap(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or "prompts" not in value:
        return [value]
    unknown = sorted(set(value) - {"prompts"})
    if unknown or not isinstance(value["prompts"], list):
        reason = f"unknown field {unknown[0]!r}" if unknown else "'prompts' is not a list"
        raise Problem(422, f'{reason} beside the prompts; send {{"prompts": [...]}}')
    return value["prompts"]


def _place(error: UnicodeDecodeError) -> str:
    return f"byte 0x{error.object[error.start]:02x} at position {error.start}"
