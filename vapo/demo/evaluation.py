"""Held-out measurements through the gateway: before, after, and small ones on the way.

Invariant: evaluations have fixed ids, so that asking again after an interruption asks nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vapo.client import GatewayClient
from vapo.demo.state import Example, Measurement

HELD_OUT = "held-out"
EXAMPLES_SHOWN = 3


class EvaluationFailed(RuntimeError):
    """No response of an evaluation could be judged; the text has the reasons."""


def ask(
    client: GatewayClient, evaluation_id: str, samples: int, problems: Sequence[dict[str, Any]] | None = None
) -> None:
    """Start an evaluation at temperature 1.0 of the held-out set, or of `problems`."""
    source = {"problems": list(problems)} if problems else {"dataset": HELD_OUT}
    sampling = {"samples": samples, "temperature": 1.0, "top_p": 1.0}
    client.post("/v1/evaluations", {"id": evaluation_id, **sampling, **source})


def progress(client: GatewayClient, evaluation_id: str) -> dict[str, Any]:
    """The gateway's summary of an evaluation so far."""
    summary: dict[str, Any] = client.get(f"/v1/evaluations/{evaluation_id}")
    return summary


def result(client: GatewayClient, evaluation_id: str) -> Measurement | None:
    """A finished evaluation with a few of its responses; None while it is not finished.

    Raises:
        EvaluationFailed: it ended without a score.
    """
    if not scored(progress(client, evaluation_id)):
        return None
    summary = client.get(f"/v1/evaluations/{evaluation_id}", problems="true")
    return Measurement(
        accuracy=summary["avg_at_k"],
        standard_error=summary["standard_error"],
        mean_length=summary["mean_length"],
        problems=summary["problems"],
        samples=summary["samples"],
        weight_version=summary["newest_weight_version"],
        examples=examples(client, summary["results"]),
    )


def scored(summary: dict[str, Any]) -> bool:
    """Whether it is finished. Raises EvaluationFailed: it ended without a score."""
    if summary["finished"] and "avg_at_k" not in summary:
        reasons = "; ".join(one["reason"] for one in summary["reasons"])
        raise EvaluationFailed(f"evaluation {summary['id']} has no score: {reasons}")
    return bool(summary["finished"])


def examples(client: GatewayClient, results: Sequence[dict[str, Any]]) -> list[Example]:
    """The first response to each of the first few problems."""
    firsts = [one["rollouts"][0] for one in results if one["rollouts"]][:EXAMPLES_SHOWN]
    return [example(client.get(f"/v1/rollouts/{rollout_id}")) for rollout_id in firsts]


def example(rollout: dict[str, Any]) -> Example:
    """What a person wants to see of a rollout."""
    return Example(rollout["prompt"], rollout["answer"], rollout["text"], rollout["verdict"] == "correct")
