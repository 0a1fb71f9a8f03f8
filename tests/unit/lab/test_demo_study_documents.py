"""lab/results/staleness and lab/results/critic show what their runs hold; so does docs/results.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.study import critic_schedules, staleness
from lab.study.staleness_regimes import REGIMES
from lab.study.store import Runs, run_name

ROOT = Path(__file__).parents[3]
STALENESS = ROOT / "lab" / "results" / "staleness"
CRITIC = ROOT / "lab" / "results" / "critic"
RUNS = Runs(STALENESS)
DEMO = REGIMES["demo"]
SEEDS = 3


@pytest.mark.parametrize("regime", ["demo", "method-chains"])
def test_the_staleness_tables_follow_from_the_runs(regime: str) -> None:
    folder = STALENESS / regime
    records = staleness.collect(RUNS, SEEDS, REGIMES[regime])
    cells = staleness.summary(records)
    published = json.loads((folder / "results.json").read_text("utf-8"))
    assert published["corrections"] == json.loads(json.dumps(cells))
    text = (STALENESS / "README.md").read_text("utf-8")
    assert staleness.table(cells) in text
    assert staleness.figures_table(cells) in text


def test_every_run_kept_is_one_of_the_grids() -> None:
    grids = [
        run_name(staleness.configuration(name, column, seed, regime))
        for regime in REGIMES.values()
        for name in staleness.CORRECTIONS
        for column in staleness.CHOICES
        for seed in range(SEEDS)
    ]
    assert RUNS.names
    assert RUNS.names <= set(grids)


def test_the_main_tables_repeat_the_studys_figures() -> None:
    cells = staleness.summary(staleness.collect(RUNS, SEEDS, DEMO))
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    for name in ("none", "token_tis", "decoupled", "dppo"):
        (row,) = [line for line in staleness.table(cells).splitlines() if line.startswith(f"| {name} |")]
        assert f"{' |'.join(row.split(' |')[:6])} |" in text


def test_the_runs_with_large_steps_are_those_quoted() -> None:
    folder = STALENESS / "demo-large-steps"
    records = staleness.collect(RUNS, SEEDS, REGIMES["demo-large-steps"])
    cells = staleness.summary(records)
    published = json.loads((folder / "results.json").read_text("utf-8"))
    assert published["corrections"] == json.loads(json.dumps(cells))
    text = " ".join((STALENESS / "README.md").read_text("utf-8").split())
    for name in ("none", "token_tis"):
        assert f"`{name}` {cells[name]['8']['mean']} (KL" in text


def test_the_critics_table_follows_from_the_runs() -> None:
    records = critic_schedules.collect(Runs(CRITIC), SEEDS, DEMO)
    figures = critic_schedules.summary(records)
    published = json.loads((CRITIC / "results.json").read_text("utf-8"))
    assert published["schedules"] == json.loads(json.dumps(figures))
    assert critic_schedules.table(figures) in (CRITIC / "README.md").read_text("utf-8")
