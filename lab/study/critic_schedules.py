"""How the critic is best trained on the demo's task: passes, mini-batches and rate.

    python -m lab.study.critic_schedules --seeds 2 --out runs/critic

Equal rollouts, by the study runner, on the ``demo`` regime of the staleness study. An
interrupted comparison goes on where it was: each finished run is a JSON file under ``--out``.

Explained variance is against Monte-Carlo returns, of values read before the critic learns from the
rows, pooled over rollout steps by the variance of their returns: a step where nearly all answers
are right has little to be explained, and its ratio is noise. Cost is the critic's time over the
actor's in the same run, which other work on the machine slows alike.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.study.command import finish, say, study_parser
from lab.study.configuration import Configuration, Regime
from lab.study.execution import Job
from lab.study.report import accuracies
from lab.study.staleness_regimes import REGIMES
from lab.study.statistics import mean_interval
from lab.study.store import Record, Runs
from lab.study.variants import configure
from vapo.cli.dispatch import Parser, exit_status
from vapo.option_types import whole

PROGRAM = "python -m lab.study.critic_schedules"
REFERENCE = "1 pass, parts of 32, rate 1e-3"
"""The demo's: two critic steps per rollout step. (Its parts are of 64, since its rollout steps
are twice as large.)"""
SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    REFERENCE: {},
    "3 passes, parts of 16, rate 3e-4": {"critic_epochs": 3, "critic_mini_batches": 4, "critic_learning_rate": 3e-4},
    "1 pass, parts of 16, rate 3e-4": {"critic_mini_batches": 4, "critic_learning_rate": 3e-4},
    "1 pass, parts of 16, rate 1e-3": {"critic_mini_batches": 4},
    "1 pass, parts of 64, rate 1e-3": {"critic_mini_batches": 1},
}
"""Name in the table -> fields of the regime. A part is the responses of one optimiser step, of the
64 of a rollout step."""
Records = dict[str, dict[int, Record]]
"""Schedule -> seed -> record of the finished run."""


def configuration(name: str, seed: int, regime: Regime) -> Configuration:
    """One run. It names the default correction, so that the reference is the very run that the
    staleness study has at staleness 0, and its file can be taken from there."""
    vapo = configure("vapo", seed, replace(regime, **SCHEDULES[name]))
    return vapo.with_algorithm(correction="none")


def jobs(names: Sequence[str], seeds: int, regime: Regime) -> list[Job]:
    """All runs, seed by seed, so that a comparison that was stopped early has complete pairs."""
    return [(name, configuration(name, seed, regime)) for seed in range(seeds) for name in names]


def collect(runs: Runs, seeds: int, regime: Regime) -> Records:
    """The finished runs of every schedule that has any."""
    records: Records = {}
    for name in SCHEDULES:
        for seed in range(seeds):
            record = runs.load(configuration(name, seed, regime))
            if record is not None:
                records.setdefault(name, {})[seed] = record
    return records


def pooled_explained_variance(curve: Mapping[str, Sequence[Any]], part: slice) -> float | None:
    """Over the steps of reinforcement learning in ``part`` of them; None: nothing to explain.

    Args:
        curve: columns of a run's record.
        part: of the steps of reinforcement learning, in order.
    """
    steps = [
        row
        for row in zip(
            curve["phase"],
            curve["explained_variance"],
            curve["value/return"],
            curve["value/return_squared"],
            strict=True,
        )
        if row[0] == "reinforcement learning"
    ]
    known = [(explained, squared - mean**2) for _, explained, mean, squared in steps[part] if explained is not None]
    total = sum(variance for _, variance in known)
    if total <= 0:
        return None
    return sum(explained * variance for explained, variance in known) / total


def summary(records: Records) -> dict[str, Any]:
    """Figures of each schedule, seed by seed and as means."""
    reference = records.get(REFERENCE, {})
    return {name: _figures(runs, reference) for name, runs in records.items()}


def table(figures: Mapping[str, Any]) -> str:
    """Markdown: a line for each schedule."""
    lines = [
        "| critic | explained variance, first half | second half | held-out accuracy | less "
        "the demo's, paired | critic's time / actor's | seeds |",
        "|---" * 7 + "|",
    ]
    for name, row in figures.items():
        difference = "" if name == REFERENCE else _show(row["less_reference"], "+.3f")
        lines.append(
            f"| {name} | {row['explained_variance_first_half']:.3f} | "
            f"{row['explained_variance_second_half']:.3f} | {_show(row['accuracy'], '.3f')} | "
            f"{difference} | {row['critic_over_actor_seconds']:.2f} | {len(row['seeds'])} |"
        )
    return "\n".join(lines)


def write(folder: Path, records: Records, regime: Regime) -> None:
    """``results.json`` and ``table.md``."""
    figures = summary(records)
    content = {"task": str(regime), "schedules": figures}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    (folder / "table.md").write_text(table(figures) + "\n", "utf-8")


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return exit_status(PROGRAM, lambda: run(words))


def run(words: Sequence[str] | None) -> int:
    """Run what is missing, then write what there is."""
    options = parser().parse_args(words)
    regime = REGIMES["demo"]
    if options.rollouts is not None:
        regime = replace(regime, rollout_budget=options.rollouts)
    runs, status = finish(jobs(options.schedules, options.seeds, regime), options)
    records = collect(runs, options.seeds, regime)
    if records:
        write(options.out, records, regime)
        say((options.out / "table.md").read_text("utf-8"))
    return status


def parser() -> Parser:
    """Options and help of the command."""
    command = study_parser(PROGRAM, __doc__ or "", out="runs/critic", seeds=2)
    command.add_argument("--rollouts", type=whole(1), help="budget of each run (default: the regime's)")
    command.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=list(SCHEDULES), metavar="NAME")
    return command


def _figures(runs: Mapping[int, Mapping[str, Any]], reference: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    shared = sorted(runs.keys() & reference.keys())
    own, other = ([float(which[seed]["accuracy"]) for seed in shared] for which in (runs, reference))
    half = next(iter(runs.values()))["curve"]["phase"].count("reinforcement learning") // 2
    return {
        "accuracy": _interval(accuracies(runs)),
        "less_reference": _interval_of_difference(own, other),
        "explained_variance_first_half": _mean_explained(runs, slice(0, half)),
        "explained_variance_second_half": _mean_explained(runs, slice(half, None)),
        "critic_over_actor_seconds": round(
            sum(run["phases"]["critic"] for run in runs.values())
            / sum(run["phases"]["actor"] for run in runs.values()),
            3,
        ),
        "seeds": {
            str(seed): {
                "accuracy": round(run["accuracy"], 4),
                "explained_variance": _rounded(pooled_explained_variance(run["curve"], slice(None))),
            }
            for seed, run in sorted(runs.items())
        },
    }


def _mean_explained(runs: Mapping[int, Mapping[str, Any]], part: slice) -> float:
    found = [pooled_explained_variance(run["curve"], part) for run in runs.values()]
    known = [value for value in found if value is not None]
    return round(sum(known) / len(known), 4) if known else float("nan")


def _interval(values: Sequence[float]) -> dict[str, float | None]:
    interval = mean_interval(values)
    half = interval.high - interval.mean
    return {"mean": round(interval.mean, 4), "half": None if half != half else round(half, 4)}


def _interval_of_difference(own: Sequence[float], other: Sequence[float]) -> dict[str, float | None] | None:
    if not own:
        return None
    return _interval([one - two for one, two in zip(own, other, strict=True)])


def _show(interval: Mapping[str, float | None] | None, form: str) -> str:
    if interval is None:
        return "–"
    half = interval["half"]
    return f"{interval['mean']:{form}}" + ("" if half is None else f" ± {half:.3f}")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


if __name__ == "__main__":
    sys.exit(main())
