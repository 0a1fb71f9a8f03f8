"""`vapo metrics`: the metrics rows of a run, for people and for other programs."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from vapo.cli.connection_options import add_connection_options, gateway

SHOWN = (
    "step",
    "reward",
    "accuracy",
    "response_length",
    "entropy",
    "explained_variance",
    "staleness_mean",
    "tokens_per_second",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--last", type=int, default=20, metavar="N", help="rows (default: 20)")
    parser.add_argument("--all", action="store_true", help="all rows")
    parser.add_argument(
        "--fields",
        type=lambda text: text.split(","),
        metavar="A,B",
        help="columns of table and csv (csv: default all)",
    )
    parser.add_argument("--format", choices=("table", "csv", "jsonl"), default="table")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the rows, oldest first."""
    with gateway(arguments) as client:
        limit = {} if arguments.all else {"last": arguments.last}
        rows = client.get("/v1/metrics/history", **limit)["metrics"]
    write(rows, arguments.format, arguments.fields, sys.stdout)
    return 0


def write(rows: list[dict[str, Any]], form: str, fields: Sequence[str] | None, out: TextIO) -> None:
    """Rows as a table, CSV or JSON lines."""
    if form == "jsonl":
        out.writelines(json.dumps(row) + "\n" for row in rows)
    elif form == "csv":
        columns = fields or list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(out, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    else:
        out.writelines(line + "\n" for line in _table(rows, fields or SHOWN))


def _table(rows: list[dict[str, Any]], fields: Sequence[str]) -> list[str]:
    cells = [[_cell(row.get(name)) for name in fields] for row in rows]
    widths = [
        max(len(name), *(len(line[column]) for line in cells)) if cells else len(name)
        for column, name in enumerate(fields)
    ]
    return [
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))
        for line in [list(fields), *cells]
    ]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
