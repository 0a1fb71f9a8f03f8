"""Waiting for an evaluation: a count while it moves, what holds it up while it stands still.

Invariant: a wait that stands still says why as soon as that can be known, once for each reason.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from vapo.cli.errors import CommandError
from vapo.cli.output.fleet_words import why_not_ready
from vapo.cli.output.queue_words import one_line
from vapo.client import GatewayClient

POLL_SECONDS = 0.5
NO_PROGRESS_SECONDS = 30.0
NEEDED = ("generator", "verifier")
"""The parts that an evaluation cannot do without."""


def wait_for(client: GatewayClient, summary: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The finished evaluation that `summary` began.

    Raises:
        CommandError: it is not finished after `seconds`; it goes on.
    """
    path, begun = f"/v1/evaluations/{summary['id']}", time.monotonic()
    moved, responses, said = begun, -1, ""
    while not summary["finished"]:
        now = time.monotonic()
        if summary["responses"] != responses:
            moved, responses = now, summary["responses"]
        client.progress.show(count(summary))
        if now - moved > NO_PROGRESS_SECONDS:
            why = standstill(client)
            if why != said:
                said = why
                print(f"\nno progress for {now - moved:.0f} s: {why}", file=sys.stderr)
        if now - begun > seconds:
            raise CommandError(
                f"{summary['id']} has {responses} of {summary['responses_wanted']} "
                f"responses after {seconds:.0f} s; it goes on, see GET {path}"
            )
        time.sleep(POLL_SECONDS)
        summary = client.get(path)
    client.progress.erase()
    return summary


def count(summary: Mapping[str, Any]) -> str:
    """How far an evaluation is, in one line."""
    scored = f", avg {summary['avg_at_k']:.3f}" if summary.get("avg_at_k") is not None else ""
    failed = f", {summary['failed']} failed" if summary.get("failed") else ""
    return f"{summary['responses']}/{summary['responses_wanted']} responses{scored}{failed}"


def standstill(client: GatewayClient) -> str:
    """What holds an evaluation up, as far as the gateway can tell."""
    metrics, members = client.get("/v1/metrics"), client.get("/v1/fleet")["members"]
    return reason_of_standstill(members, metrics.get("newest_dead_letter"))


def reason_of_standstill(members: Sequence[Mapping[str, Any]], dead_letter: Mapping[str, Any] | None) -> str:
    """The same of what is known. Pure."""
    for part in NEEDED:
        of_part = [member for member in members if member["part"] == part]
        if not of_part:
            return f"no {part} has joined; `vapo status` shows the parts"
        if all(member["state"] != "READY" for member in of_part):
            member = of_part[0]
            return one_line(f"{part} is {member['state']}: {why_not_ready(member)}")
    if dead_letter is not None:
        return f"the newest failure: {one_line(dead_letter['reason'])}; see `vapo status`"
    return "the generators may be busy; `vapo status` shows the queues"
