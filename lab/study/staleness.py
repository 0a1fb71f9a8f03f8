"""Which off-policy correction keeps VAPO from degrading on stale rollouts: a grid of runs.

    python -m lab.study.staleness --seeds 3 --out runs/staleness
    python -m lab.study.staleness --regime demo --seeds 2 --out runs/staleness

Every correction at every staleness and seed, with equal rollouts, by the study runner
(``lab.study``): the trainer's own algorithm, rollouts from a sampler in the same process. An
interrupted grid goes on where it was: each finished run is a JSON file under ``--out``. Tables are
made of all finished runs there, also those of other corrections or staleness; each regime's lie in
a folder of its name.

A correction is compared with none over *blocks*, the pairs of a seed and a staleness above 0: both
runs of a block see the same problems in the same order. Intervals of a cell are over its seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from lab.study.command import finish, say, study_parser
from lab.study.configuration import Configuration, Regime
from lab.study.execution import Job
from lab.study.plot import save_picture
from lab.study.report import accuracies, rounded
from lab.study.staleness_regimes import REGIMES
from lab.study.statistics import mean_interval
from lab.study.store import Record, Runs
from lab.study.variants import configure
from vapo.cli.dispatch import Parser, exit_status
from vapo.option_types import whole

PROGRAM = "python -m lab.study.staleness"
STALENESS = (0, 2, 4, 8)
"""The grid's columns unless others are asked for; blocks are made of those above 0."""
CHOICES = (0, 1, 2, 4, 8)
"""Columns there may be; 1 is the platform's own limit."""
CORRECTIONS: Mapping[str, Mapping[str, Any]] = {
    "none": {"correction": "none"},
    "token_tis": {"correction": "token_tis"},
    "sequence_mask": {"correction": "sequence_mask"},
    "geometric_mask": {"correction": "geometric_mask"},
    "icepop": {"correction": "icepop"},
    "decoupled": {"correction": "decoupled"},
    "dis": {"correction": "dis"},
    "cispo": {"correction": "cispo"},
    "dppo": {"correction": "dppo"},
    "none, dual clip 3": {"correction": "none", "dual_clip": 3.0},
}
"""Name in the table -> switches of the objective."""
REFERENCE = "none"
FIGURES = {
    "dropped": "policy/correction_dropped_fraction",
    "kl": "policy/kl_from_behaviour",
    "clipped_up": "policy/clip_fraction_up",
    "clipped_down": "policy/clip_fraction_down",
    "entropy": "policy/entropy",
}
"""Figures of the second half of training that are kept beside the accuracy."""
Records = dict[str, dict[int, dict[int, Record]]]
"""Correction -> staleness -> seed -> record of the finished run."""


def configuration(name: str, staleness: int, seed: int, regime: Regime) -> Configuration:
    """One run."""
    vapo = configure("vapo", seed, replace(regime, staleness=staleness))
    return vapo.with_algorithm(**CORRECTIONS[name])


def jobs(names: Sequence[str], seeds: int, regime: Regime, columns: Sequence[int] = STALENESS) -> list[Job]:
    """The grid, seed by seed, so that one that was stopped early has complete pairs."""
    return [
        (f"{name}, staleness {staleness}", configuration(name, staleness, seed, regime))
        for seed in range(seeds)
        for staleness in columns
        for name in names
    ]


def collect(runs: Runs, seeds: int, regime: Regime) -> Records:
    """The finished runs of every correction that has any."""
    records: Records = {}
    for name in CORRECTIONS:
        row: dict[int, dict[int, Record]] = {staleness: {} for staleness in CHOICES}
        for staleness in CHOICES:
            for seed in range(seeds):
                record = runs.load(configuration(name, staleness, seed, regime))
                if record is not None:
                    row[staleness][seed] = record
        if any(row.values()):
            records[name] = row
    return records


def summary(records: Records) -> dict[str, Any]:
    """Accuracy with its 95 % interval, paired differences and figures of each cell; the columns
    of which any correction has a run."""
    known = [staleness for staleness in CHOICES if any(row.get(staleness) for row in records.values())]
    return {
        name: {str(staleness): _cell(records[name][staleness]) for staleness in known}
        | {"stale": _stale(records, name)}
        for name in records
    }


def table(cells: Mapping[str, Any]) -> str:
    """Markdown: a line for each correction, a column for each staleness."""
    columns = _columns(cells)
    lines = [
        "| correction | "
        + " | ".join(f"staleness {column}" for column in columns)
        + " | 2 to 8 | 2 to 8, less `none`, paired | blocks |",
        "|---" * (len(columns) + 4) + "|",
    ]
    for name, row in cells.items():
        parts = [_show(row[column]) for column in columns]
        stale = row["stale"]
        difference = "" if name == REFERENCE else _show(stale["less_reference"], "+.3f")
        lines.append(f"| {name} | {' | '.join(parts)} | {_show(stale)} | {difference} | {stale['blocks']} |")
    return "\n".join(lines)


def figures_table(cells: Mapping[str, Any]) -> str:
    """Markdown: divergence from the behaviour policy, clipped and masked share."""
    columns = _columns(cells)
    lines = [
        "| correction | " + " | ".join(f"staleness {column}" for column in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name, row in cells.items():
        parts = [
            ", ".join(_number(row[column][figure]) for figure in ("kl", "clipped_up", "clipped_down", "dropped"))
            for column in columns
        ]
        lines.append(f"| {name} | {' | '.join(parts)} |")
    return "\n".join(lines)


def draw(records: Records, file: Path) -> None:
    """Write ``file``: held-out accuracy against staleness, and training accuracy at the largest one."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), constrained_layout=True)
    for number, (name, row) in enumerate(records.items()):
        known = [staleness for staleness, runs in row.items() if runs]
        shift = 0.06 * (number - len(records) / 2)
        means = [mean_interval(accuracies(row[staleness])).mean for staleness in known]
        (line,) = left.plot([staleness + shift for staleness in known], means, linewidth=1.2, label=name)
        for staleness in known:
            values = accuracies(row[staleness])
            left.plot([staleness + shift] * len(values), values, ".", markersize=4, color=line.get_color())
        curves = [run["curve"]["accuracy"] for run in row[STALENESS[-1]].values()]
        mean = [sum(step) / len(step) for step in zip(*curves, strict=True)]
        right.plot(range(1, len(mean) + 1), mean, linewidth=1.2, label=name)
    left.set(
        title="held-out accuracy after training: runs (dots) and means",
        xlabel="staleness, rollout steps",
        ylabel="share correct",
    )
    right.set(title=f"training accuracy at staleness {STALENESS[-1]}", xlabel="rollout step", ylabel="share correct")
    left.legend(fontsize=7)
    for axis in (left, right):
        axis.grid(alpha=0.3)
    save_picture(figure, file)


def write(folder: Path, records: Records, regime: Regime, command: str) -> None:
    """``results.json``, ``table.md`` and the curves."""
    cells = summary(records)
    seconds = sum(record["seconds"] for row in records.values() for runs in row.values() for record in runs.values())
    content = {"task": str(regime), "command": command, "seconds_of_all_runs": round(seconds), "corrections": cells}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    (folder / "table.md").write_text(
        f"{table(cells)}\n\nKL(behaviour, current) in nats per token, shares of tokens clipped up, "
        f"clipped down and masked, second half of training:\n\n{figures_table(cells)}\n",
        "utf-8",
    )
    draw(records, folder / "staleness.svg")


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return exit_status(PROGRAM, lambda: run(words))


def run(words: Sequence[str] | None) -> int:
    """Run what is missing, then write what there is."""
    options = parser().parse_args(words)
    regime = REGIMES[options.regime]
    if options.rollouts is not None:
        regime = replace(regime, rollout_budget=options.rollouts)
    runs, status = finish(jobs(options.corrections, options.seeds, regime, options.staleness), options)
    records = collect(runs, options.seeds, regime)
    if records:
        folder = options.out / options.regime
        write(folder, records, regime, _command(options))
        say((folder / "table.md").read_text("utf-8"))
    return status


def parser() -> Parser:
    """Options and help of the command."""
    command = study_parser(PROGRAM, __doc__ or "", out="runs/staleness", seeds=3)
    command.add_argument("--regime", choices=REGIMES, default="method-chains")
    command.add_argument("--rollouts", type=whole(1), help="budget of each run (default: the regime's)")
    command.add_argument(
        "--staleness",
        type=int,
        nargs="+",
        choices=CHOICES,
        default=list(STALENESS),
        metavar="STEPS",
        help="in this order",
    )
    command.add_argument("--corrections", nargs="+", choices=CORRECTIONS, default=list(CORRECTIONS), metavar="NAME")
    return command


def _command(options: argparse.Namespace) -> str:
    return f"{PROGRAM} --regime {options.regime} --seeds {options.seeds} --out {options.out}"


def _cell(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    values = accuracies(runs)
    return _rounded(values) | {
        "seeds": {str(seed): round(run["accuracy"], 4) for seed, run in sorted(runs.items())},
        **{short: _late_mean(list(runs.values()), figure) for short, figure in FIGURES.items()},
    }


def _stale(records: Records, name: str) -> dict[str, Any]:
    """Over the blocks that the correction and the reference both have."""
    references = records.get(REFERENCE, {})
    blocks = [
        (staleness, seed)
        for staleness in STALENESS
        if staleness > 0
        for seed in sorted(records[name][staleness].keys() & references.get(staleness, {}).keys())
    ]
    own, reference = (
        [float(runs[staleness][seed]["accuracy"]) for staleness, seed in blocks] for runs in (records[name], references)
    )
    differences = [one - other for one, other in zip(own, reference, strict=True)]
    return {"mean": _rounded(own)["mean"], "high": None, "blocks": len(blocks), "less_reference": _rounded(differences)}


def _late_mean(runs: Sequence[Mapping[str, Any]], figure: str) -> float | None:
    values = [
        value
        for run in runs
        for column in [run["curve"].get(figure, [])]
        for value in column[len(column) // 2 :]
        if value is not None
    ]
    return float(f"{sum(values) / len(values):.3g}") if values else None


def _rounded(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and 95 % interval; null where there is no value, or only one."""
    if not values:
        return {"mean": None, "low": None, "high": None}
    return rounded(mean_interval(values))


def _columns(cells: Mapping[str, Any]) -> list[str]:
    return [column for column in next(iter(cells.values())) if column != "stale"]


def _show(cell: Mapping[str, Any], form: str = ".3f") -> str:
    if cell["mean"] is None:
        return "–"
    if cell["high"] is None:
        return f"{cell['mean']:{form}}"
    return f"{cell['mean']:{form}} ± {cell['high'] - cell['mean']:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


if __name__ == "__main__":
    sys.exit(main())
