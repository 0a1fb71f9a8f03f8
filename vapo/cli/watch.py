"""`vapo watch`: a run as it trains, one line for each thing that happens."""

from __future__ import annotations

import argparse
import time
from typing import Any

from vapo.cli.connection_options import add_connection_options, gateway
from vapo.cli.status import describe_step
from vapo.event_stream import Event, follow

LAST_WORDS = ("trainer_stopped", "trainer_failed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--from-start", action="store_true", help="begin with the oldest event kept"
    )
    parser.add_argument(
        "--forever", action="store_true", help="go on after the trainer has stopped"
    )
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Follow the run's events until the trainer stops; Ctrl-C ends it."""
    with gateway(arguments) as client:
        client.get("/v1/metrics")  # a wrong URL or token is told at once
        for event in follow(client, "0" if arguments.from_start else None):
            print(describe(event), flush=True)
            if event.kind in LAST_WORDS and not arguments.forever:
                return int(event.kind == "trainer_failed")
    return 0


def describe(event: Event) -> str:
    """One line for one event."""
    clock = time.strftime("%H:%M:%S", time.localtime(int(event.id.partition("-")[0] or 0) / 1000))
    return f"{clock}  {event.kind:<18} {_content(event.kind, event.data)}"


def _content(kind: str, data: dict[str, Any]) -> str:
    if kind == "metrics":
        return f"step {describe_step(data)}"
    if kind == "evaluation":
        return (
            f"{data['id']}  avg@{data['samples']} {data['avg_at_k']:.4f} ± "
            f"{data['standard_error']:.4f}  maj@{data['samples']} {data['maj_at_k']:.4f}"
        )
    plain = {name: value for name, value in data.items() if not isinstance(value, (dict, list))}
    return "  ".join(f"{name} {_short(value)}" for name, value in plain.items() if name != "at")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
