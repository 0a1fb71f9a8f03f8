"""The members of a fleet, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vapo.cli.output.table import aligned

MEANING = {
    "STALE": "its weights are not proven, so it takes no work until they are",
    "LOADING": "new weights are on their way in",
    "UNREADY": "it cannot work",
    "DEAD": "its heartbeat has stopped",
}


def describe_fleet(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each part, with the reason of one that is not ready."""
    if not members:
        return ["no part is known; is the stack starting?"]
    return aligned(
        [
            (
                member["part"],
                member["state"],
                "" if member["weight_version"] is None else f"v{member['weight_version']}",
                member["url"],
                f"seen {member['seconds_since_heartbeat']:.0f} s ago",
                why_not_ready(member),
            )
            for member in members
        ]
    )


def why_not_ready(member: Mapping[str, Any]) -> str:
    """The part's own reason, or what its state means; empty for one that is ready."""
    if member["state"] == "READY":
        return ""
    if member["state"] == "DEAD":
        return MEANING["DEAD"]
    own = member.get("reason") or member["details"].get("reason")
    if own:
        return str(own)
    if member["part"] == "trainer":
        return str(member["details"].get("phase", "starting"))
    return MEANING.get(member["state"], "")
