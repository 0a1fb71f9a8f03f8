"""`vapo runs`: the runs on this machine, the one started last first."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from vapo.cli.output.table import aligned
from vapo.local.run_folders.known_runs import Run, all_runs

HEADINGS = ("run", "state", "step", "started", "folder", "gateway", "")
NONE = "no run under runs/; `vapo up` starts one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", action="store_true", help="print one JSON object a run")


def run(arguments: argparse.Namespace) -> int:
    """List them."""
    known = all_runs()
    if arguments.json:
        print("\n".join(json.dumps(as_fields(one)) for one in known))
    else:
        print("\n".join(describe(known)))
    return 0


def describe(known: Sequence[Run]) -> list[str]:
    """A table with one line a run."""
    if not known:
        return [NONE]
    rows = [
        (
            one.name,
            one.state,
            f"{one.step}/{one.max_steps}" if one.max_steps else str(one.step),
            moment(one.started_at),
            one.where,
            one.url if one.live and one.url else "-",
            "" if one.state == "live" and one.story == one.progress else one.story.splitlines()[0],
        )
        for one in known
    ]
    return aligned([HEADINGS, *rows])


def as_fields(one: Run) -> dict[str, Any]:
    """A run for other programs; times in seconds since the epoch."""
    return {
        "name": one.name,
        "state": one.state,
        "story": one.story,
        "step": one.step,
        "max_steps": one.max_steps,
        "folder": str(one.folder.directory),
        "url": one.url if one.live else None,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
    }


def moment(at: float) -> str:
    """Date and time of day here."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
