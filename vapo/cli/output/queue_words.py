"""Queue lengths, totals and failures of `GET /v1/metrics`, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WAITING = {
    "backlog": "prompts queued",
    "tasks": "prompts to generate for",
    "eval_tasks": "held-out problems to generate for",
    "generated": "responses to judge",
    "verified": "responses to value",
    "scored": "responses to train on",
}
AT_WORK = {
    "tasks_leased": "prompts being generated for",
    "eval_tasks_leased": "held-out problems being generated for",
    "generated_leased": "responses being judged",
    "verified_leased": "responses being valued",
    "scored_leased": "responses with the trainer",
}
TOTALS = {
    "submitted_train": "prompts submitted",
    "submitted_eval": "held-out problems submitted",
    "generated": "responses generated",
    "verdict": "judged",
    "values": "valued",
    "trained": "trained on",
    "revived": "dead letters sent again",
}
DROPPED = "dropped:"
REASON_CHARACTERS = 300


def describe_queues(metrics: Mapping[str, Any]) -> list[str]:
    """What waits for whom, and what is in hand; queues that are empty are left out."""
    depths = metrics["depths"]
    waiting, at_work = _counts(depths, WAITING), _counts(depths, AT_WORK)
    room = f"{depths['admitted']} of {metrics['admission_capacity']} responses under way"
    return [f"  waiting   {waiting or 'nothing'}", f"  at work   {at_work or 'nothing'} ({room})"]


def describe_totals(counters: Mapping[str, int]) -> list[str]:
    """Totals since the run began, what was dropped with its reasons."""
    lines = [f"  totals    {_counts(counters, TOTALS) or 'none yet'}"]
    dropped = {
        name.removeprefix(DROPPED).replace("_", " "): count
        for name, count in counters.items()
        if name.startswith(DROPPED) and count
    }
    if dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        lines.append(f"  dropped   {sum(dropped.values())} responses: {reasons}")
    return lines


def describe_failures(newest: Mapping[str, Any] | None, depths: Mapping[str, int], now: float) -> list[str]:
    """How much failed for good, and why the newest did."""
    if not depths["dead"] or newest is None:
        return []
    ago = max(0.0, now - newest["at"])
    return [
        f"  failed    {depths['dead']} for good; the newest, {ago:.0f} s ago ({newest['id']}): "
        f"{one_line(newest['reason'])}"
    ]


def one_line(text: str) -> str:
    """`text` without line ends, cut where it is very long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= REASON_CHARACTERS else f"{flat[:REASON_CHARACTERS]}…"


def _counts(numbers: Mapping[str, int], names: Mapping[str, str]) -> str:
    return ", ".join(f"{numbers[key]} {words}" for key, words in names.items() if numbers.get(key))
