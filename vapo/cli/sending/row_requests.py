"""Requests with rows of a file, and the gateway's refusals in terms of that file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

import httpx

from vapo.cli.errors import CommandError
from vapo.cli.sending.problem_file import ProblemFile, errors_shown
from vapo.cli.sending.row_errors import ALL_ROWS, MOST_ROWS_COUNTED, in_file, told
from vapo.client import CONNECT_SECONDS, GatewayError

SECONDS_PER_MIB = 60.0
LEAST_SECONDS = 120.0


def row_parameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """The query parameters that say what happens to wrong rows."""
    most = ALL_ROWS if arguments.errors else MOST_ROWS_COUNTED
    return {"skip_too_long": str(arguments.skip_too_long).lower(), "max_errors": most}


def as_lines(problems: ProblemFile) -> bytes:
    """JSON Lines, a line for each problem."""
    return b"".join(json.dumps(problem).encode() + b"\n" for problem in problems.problems)


def answer_timeout(content: bytes) -> httpx.Timeout:
    """How long the gateway may take to look at this many rows, once it is reached."""
    seconds = LEAST_SECONDS + SECONDS_PER_MIB * len(content) / 2**20
    return httpx.Timeout(seconds, connect=CONNECT_SECONDS)


def refused(
    error: GatewayError,
    problems: ProblemFile,
    arguments: argparse.Namespace,
    start: int = 0,
    remark: str = "nothing was kept",
) -> Exception:
    """The gateway's refusal with the file's own row numbers; ``error`` where it names no rows.

    Args:
        start: position of the first problem of the request.
        remark: what became of the others.
    """
    errors = [each for each in error.document.get("errors", []) if _names_a_row(each)]
    if error.status != 422 or not errors:
        return error
    rows = in_file(errors, problems.numbers, start)
    listed = told(problems.unit, rows, errors_shown(arguments))
    return CommandError(f"{problems.file}: {listed}\n  {remark}")


def _names_a_row(error: Mapping[str, Any]) -> bool:
    return isinstance(error.get("row"), int)
