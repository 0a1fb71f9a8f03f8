"""`vapo status`: one look at a run, live or ended."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from vapo.cli.commands.runs import as_fields, moment
from vapo.cli.connection_options import Target, add_connection_options, ask_run, find_target, metrics_of
from vapo.cli.output.fleet_words import describe_fleet
from vapo.cli.output.queue_words import describe_failures, describe_queues, describe_totals
from vapo.client import GatewayClient
from vapo.ledger.pace import words
from vapo.local.run_folders.known_runs import Run, steps

STEP_FIELDS = {
    "reward": "reward",
    "accuracy": "accuracy",
    "length": "response_length",
    "cut": "truncated_fraction",
    "entropy": "entropy",
    "explained variance": "explained_variance",
    "staleness": "staleness_mean",
    "tokens/s": "tokens_per_second",
}
ENDS = {"finished": "finished", "asked to stop": "stopped as asked", "interrupted": "interrupted", "failed": "failed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print step, queues, failures and parts; of a run that has ended, how."""
    target = find_target(arguments)

    def live(client: GatewayClient, _: object) -> int:
        metrics, fleet = metrics_of(client, target), client.get("/v1/fleet")["members"]
        if arguments.json:
            print(json.dumps({**metrics, "fleet": fleet}))
        else:
            print("\n".join([*describe_run(metrics), *_place(target), "", *describe_fleet(fleet)]))
        return 0

    def over(run: Run) -> int:
        print(json.dumps(as_fields(run)) if arguments.json else ended(run))
        return 0

    return ask_run(target, live, over)


def ended(run: Run) -> str:
    """What is known of a run whose parts do not run."""
    when = f" ({moment(run.ended_at)})" if run.ended_at else ""
    lines = [
        f"run {run.name}: {run.state}{when}",
        f"  {run.story}",
        f"  folder    {run.where}",
        "  go on     the same `vapo up`; `vapo export` and `vapo metrics` need no stack",
    ]
    return "\n".join(lines)


def describe_run(metrics: dict[str, Any]) -> list[str]:
    """State, step, queues, totals and failures."""
    lines = [
        headline(metrics),
        f"  step      {describe_step(metrics['latest'])}",
        f"  weights   version {metrics['weight_version']}",
        *describe_queues(metrics),
        *describe_totals(metrics["counters"]),
        *describe_failures(metrics.get("newest_dead_letter"), metrics["depths"], time.time()),
    ]
    return lines


def headline(metrics: Mapping[str, Any]) -> str:
    """The run's name, what it does, the step of how many, and the time left."""
    training = metrics["training"]
    parts = [f"run {metrics['run']}: {doing(metrics)}"]
    parts.append(steps(training["step"], training["max_steps"]))
    if training["seconds_left"] is not None:
        parts.append(f"about {words(training['seconds_left'])} left")
    return ", ".join(parts)


def doing(metrics: Mapping[str, Any]) -> str:
    """What the trainer does, or how it ended."""
    training = metrics["training"]
    if training["state"] in ENDS and training["phase"] in (None, "stopped", "failed"):
        reason = f" ({training['reason']})" if training["reason"] else ""
        return f"trainer {ENDS[training['state']]}{reason}"
    switches = [word for word, on in (("paused", metrics["paused"]), ("stopping", metrics["stop_requested"])) if on]
    return ", ".join([phase_of(training, metrics["depths"]), *switches])


def phase_of(training: Mapping[str, Any], depths: Mapping[str, int]) -> str:
    """What the trainer is about, or what it lacks."""
    phase = training["phase"]
    if phase is None:
        return "no trainer is alive" if training["state"] == "running" else str(training["state"])
    if phase == "waiting for rollouts" and nothing_is_queued(depths):
        return "waiting for prompts: none is queued, see `vapo submit`"
    if phase == "value pretraining" or (training["pretraining_step"] and not training["step"]):
        return f"value pretraining, batch {training['pretraining_step'] or 0}"
    return str(phase)


def nothing_is_queued(depths: Mapping[str, int]) -> bool:
    """Whether no training prompt waits anywhere and no response is under way."""
    return not (depths["backlog"] or depths["tasks"] or depths["admitted"])


def describe_step(row: Mapping[str, Any] | None) -> str:
    """The newest training step in one line."""
    if row is None:
        return "none yet"
    shown = [f"{name} {number(row[field])}" for name, field in STEP_FIELDS.items() if row.get(field) is not None]
    return f"{row['step']}  {'  '.join(shown)}"


def number(value: Any) -> str:
    """A figure in at most four decimals, zero without a sign."""
    return f"{round(value, 4) + 0.0:g}" if isinstance(value, float) else str(value)


def _place(target: Target) -> list[str]:
    folder = [f"  folder    {target.run.where}"] if target.run else []
    return [f"  gateway   {target.url}", *folder]
