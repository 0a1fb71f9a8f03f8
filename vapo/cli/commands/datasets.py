"""`vapo datasets`: the data sets of a run; `vapo datasets rm NAME` removes one."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from vapo.cli.connection_options import add_connection_options, gateway
from vapo.cli.errors import UsageError
from vapo.cli.output.table import aligned

TITLES = ("name", "split", "rows", "epoch", "served", "uploaded")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("action", nargs="?", choices=("list", "rm"), default="list", help="default: list")
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets to remove")
    parser.add_argument("--json", action="store_true", help="print the list as one JSON object")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """List or remove."""
    if (arguments.action == "rm") != bool(arguments.names):
        raise UsageError("write `vapo datasets`, or `vapo datasets rm NAME`")
    with gateway(arguments) as client:
        for name in arguments.names:
            client.call("DELETE", f"/v1/datasets/{quote(name, safe='')}")
            print(f"data set {name} is removed; tasks already queued from it are still done")
        if not arguments.names:
            listed = client.get("/v1/datasets")
            print(json.dumps(listed) if arguments.json else "\n".join(table(listed["datasets"])))
    return 0


def table(datasets: Sequence[Mapping[str, Any]]) -> list[str]:
    """The data sets as a person reads them."""
    if not datasets:
        return ["no data sets; send one with `vapo submit FILE --dataset NAME`"]
    return aligned([TITLES, *(_cells(dataset) for dataset in datasets)])


def _cells(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    uploaded = time.strftime("%Y-%m-%d %H:%M", time.localtime(dataset["created_at"]))
    is_trained = dataset["split"] == "train"
    return (
        dataset["name"],
        dataset["split"],
        str(dataset["rows"]),
        str(dataset["epoch"]) if is_trained else "-",
        str(dataset["rows_served_this_epoch"]) if is_trained else "-",
        uploaded,
    )
