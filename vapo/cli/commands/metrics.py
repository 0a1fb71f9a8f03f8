"""`vapo metrics`: the metrics rows of a run, for people and for other programs, or as curves.

Invariant: the gateway of a live run is asked; of a run that has ended, and with `--file`, the rows
in its folder are read, which needs no running stack.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from vapo.cli.connection_options import (
    PATIENCE_SECONDS,
    Target,
    add_connection_options,
    client_of,
    find_target,
    metrics_of,
    told_plainly,
)
from vapo.cli.errors import CommandError
from vapo.cli.output.progress_line import ProgressLine
from vapo.cli.output.table import aligned, figure
from vapo.client import GatewayClient, GatewayError
from vapo.local.run_folders.metrics_rows import METRICS_FILE, read_rows
from vapo.option_types import path, whole

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
        "--fields", type=lambda text: text.split(","), metavar="A,B", help="columns of table and csv (csv: default all)"
    )
    parser.add_argument(
        "--format", choices=("table", "csv", "jsonl"), default="table", help="of what is printed (default: table)"
    )
    parser.add_argument(
        "--plot",
        type=path,
        metavar="FILE",
        help="draw all training steps into FILE (.png, .svg, .pdf) and print nothing",
    )
    parser.add_argument(
        "--file", type=path, metavar="METRICS_JSONL", help="read a run's metrics.jsonl instead of asking the gateway"
    )
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the rows, oldest first, or draw them."""
    last = None if arguments.all or arguments.plot else arguments.last
    found = _of_file(arguments.file, last) if arguments.file else _of_run(arguments, last)
    if arguments.plot:
        _draw(found, arguments.plot)
    else:
        write(found.rows, arguments.format, arguments.fields, sys.stdout)
    return 0


@dataclass(frozen=True)
class Found:
    """The metrics of a run."""

    rows: list[dict[str, Any]]
    name: str | None = None
    """Of the run, where it is known."""
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    """Summaries of finished ones, as the gateway gives them; none of a run that has ended."""


def _of_run(arguments: argparse.Namespace, last: int | None) -> Found:
    target = find_target(arguments)
    run = target.run
    with ProgressLine() as progress, told_plainly(target):
        try:
            with client_of(target, PATIENCE_SECONDS, progress) as client:
                return _ask(client, target, last, with_evaluations=arguments.plot is not None)
        except GatewayError as error:
            if run is None or run.live or not (run.over or error.nobody_listens):
                raise
    if not (run.folder.directory / METRICS_FILE).exists():
        return Found([], run.name)
    return replace(_of_file(run.folder.directory / METRICS_FILE, last), name=run.name)


def _ask(client: GatewayClient, target: Target, last: int | None, with_evaluations: bool) -> Found:
    name = metrics_of(client, target)["run"]
    limit = {} if last is None else {"last": last}
    rows = client.get("/v1/metrics/history", **limit)["metrics"]
    known = client.get("/v1/evaluations")["evaluations"] if with_evaluations else []
    return Found(rows, name, [one for one in known if one["finished"]])


def _of_file(file: Path, last: int | None) -> Found:
    """Training rows of a `metrics.jsonl`; a line that is being written is left out."""
    try:
        training = [row for row in read_rows(file) if "step" in row]
    except (OSError, ValueError) as error:
        raise CommandError(f"--file {file}: {error}; name a run's metrics.jsonl") from None
    return Found(training if last is None else training[-last:])


def _draw(found: Found, file: Path) -> None:
    from vapo.cli.output.metrics_plot import draw_metrics  # matplotlib is slow to import and seldom needed

    try:
        draw_metrics(found.rows, file, found.name, found.evaluations)
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
    return aligned([list(fields), *cells], right=range(len(fields)))


def _cell(value: Any) -> str:
    is_text = value is not None and not isinstance(value, float)
    return str(value) if is_text else figure(value, ".4f")
