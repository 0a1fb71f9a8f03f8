"""`vapo status`: one look at a run."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vapo.cli.connection_options import add_connection_options, gateway

STEP_FIELDS = (
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
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print parts, queues, newest step and weight version."""
    with gateway(arguments) as client:
        metrics, members = client.get("/v1/metrics"), client.get("/v1/fleet")["members"]
    if arguments.json:
        print(json.dumps({**metrics, "fleet": members}))
    else:
        print("\n".join([*describe_run(metrics), "", *describe_fleet(members)]))
    return 0


def describe_run(metrics: dict[str, Any]) -> list[str]:
    """Step, queues and totals."""
    switches = [
        word
        for word, on in (("paused", metrics["paused"]), ("stopping", metrics["stop_requested"]))
        if on
    ]
    title = f"run {metrics['run']}{', ' + ', '.join(switches) if switches else ''}"
    return [
        title,
        f"  weights   version {metrics['weight_version']}",
        f"  step      {describe_step(metrics['latest'])}",
        f"  queues    {_pairs(metrics['depths'])} (capacity {metrics['admission_capacity']})",
        f"  totals    {_pairs(metrics['counters']) or 'none yet'}",
    ]


def describe_step(row: dict[str, Any] | None) -> str:
    """The newest training step in one line."""
    if row is None:
        return "none yet"
    shown = {name: round(row[name], 4) for name in STEP_FIELDS if row.get(name) is not None}
    return f"{row['step']}  {_pairs(shown)}"


def describe_fleet(members: list[dict[str, Any]]) -> list[str]:
    """One line for each part."""
    if not members:
        return ["no part is known; is the stack starting?"]
    width = max(len(member["name"]) for member in members)
    return [
        f"{member['name']:<{width}}  {member['state']:<8} {_version(member):<6} "
        f"{member['url']}  (seen {member['seconds_since_heartbeat']:.0f} s ago)"
        for member in members
    ]


def _version(member: dict[str, Any]) -> str:
    return "" if member["weight_version"] is None else f"v{member['weight_version']}"


def _pairs(numbers: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value}" for name, value in numbers.items())
