"""`vapo metrics`: the metrics rows of a run, for people and for other programs, or as curves.

Invariant: without `--file` the gateway is asked; with it no stack needs to run.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from vapo.cli.connection_options import add_connection_options, gateway
from vapo.cli.errors import CommandError
from vapo.option_types import whole

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
    parser.add_argument("--last", type=whole(1), default=20, metavar="N", help="rows (default: 20)")
    parser.add_argument("--all", action="store_true", help="all rows")
    parser.add_argument(
        "--fields",
        type=lambda text: text.split(","),
        metavar="A,B",
        help="columns of table and csv (csv: default all)",
    )
    parser.add_argument("--format", choices=("table", "csv", "jsonl"), default="table")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw all training steps into FILE (.png, .svg, .pdf) and print nothing",
    )
    parser.add_argument(
        "--file",
        type=Path,
        metavar="METRICS_JSONL",
        help="read a run's metrics.jsonl instead of asking the gateway",
    )
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the rows, oldest first, or draw them."""
    last = None if arguments.all or arguments.plot else arguments.last
    rows = _rows_of_file(arguments.file, last) if arguments.file else _ask(arguments, last)
    if arguments.plot:
        _draw(rows, arguments.plot)
    else:
        write(rows, arguments.format, arguments.fields, sys.stdout)
    return 0


def _ask(arguments: argparse.Namespace, last: int | None) -> list[dict[str, Any]]:
    with gateway(arguments) as client:
        limit = {} if last is None else {"last": last}
        rows: list[dict[str, Any]] = client.get("/v1/metrics/history", **limit)["metrics"]
    return rows


def _rows_of_file(file: Path, last: int | None) -> list[dict[str, Any]]:
    """Training rows of a `metrics.jsonl`; a line that is being written is left out."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
    except (OSError, ValueError) as error:
        raise CommandError(f"--file {file}: {error}; name a run's metrics.jsonl") from None
    training = [row for row in rows if "step" in row]
    return training if last is None else training[-last:]


def _draw(rows: list[dict[str, Any]], file: Path) -> None:
    from vapo.metrics_plot import draw_metrics  # matplotlib is slow to import and seldom needed

    try:
        draw_metrics(rows, file)
    except (OSError, ValueError) as error:
        raise CommandError(f"--plot {file}: {error}") from None


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
