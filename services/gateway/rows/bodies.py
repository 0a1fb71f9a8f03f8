"""From the bytes of a request to rows.

Invariant: bytes that are not UTF-8 JSON are refused with the place where they stop being so; NaN
and Infinity are not JSON.
"""

from __future__ import annotations

from typing import Any

from vapo.data_files.errors import DataFileError
from vapo.data_files.file_signatures import plain_text
from vapo.data_files.json_text import json_lines, json_value
from vapo.data_files.reader import NumberedRow
from vapo.service.problem_details import Problem

NDJSON_TYPES = ("application/x-ndjson", "application/jsonl", "application/ndjson", "application/x-jsonlines")


def rows_of_body(body: bytes, content_type: str) -> list[NumberedRow]:
    """Undecoded rows of ``{"prompts": [...]}``, a bare list, one object, or NDJSON; a line of
    NDJSON that is not JSON is given as its RowError.

    Raises:
        Problem: 422, the body is not UTF-8 JSON or holds no row.
    """
    if content_type.partition(";")[0].strip().lower() in NDJSON_TYPES:
        rows = list(json_lines(_plain(body).splitlines()))
    else:
        rows = list(enumerate(_unwrap(parse_json(body)), start=1))
    if not rows:
        raise Problem(422, 'the request holds no prompt; send {"prompts": [{"prompt": ..., "answer": ...}]}')
    return rows


def parse_json(body: bytes) -> Any:
    """One JSON value. Raises Problem 422."""
    try:
        return json_value(_plain(body))
    except ValueError as error:
        hint = f"; send lines as {NDJSON_TYPES[0]}" if "trailing characters" in str(error) else ""
        raise Problem(422, f"the body {error}{hint}") from None


def _plain(body: bytes) -> bytes:
    try:
        return plain_text(body)
    except DataFileError as error:
        raise Problem(error.status, f"the body {error}") from None


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
