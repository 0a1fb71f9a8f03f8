"""docs/staleness and docs/critic show what their raw data holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.study import critic_schedules, staleness
from lab.study.staleness_regimes import REGIMES

DOCS = Path(__file__).parents[3] / "docs"
DEMO = REGIMES["demo"]
SEEDS = 3


@pytest.mark.parametrize("regime", ["demo", "method-chains"])
def test_the_staleness_tables_follow_from_the_runs(regime: str) -> None:
    folder = DOCS / "staleness" / regime
    records = staleness.collect(folder / "raw", SEEDS, REGIMES[regime])
    cells = staleness.summary(records)
    published = json.loads((folder / "results.json").read_text("utf-8"))
    assert published["corrections"] == json.loads(json.dumps(cells))
    text = (DOCS / "staleness" / "README.md").read_text("utf-8")
    assert staleness.table(cells) in text
    assert staleness.figures_table(cells) in text
    runs = [run for row in records.values() for column in row.values() for run in column.values()]
    assert len(runs) == len(list((folder / "raw").rglob("*.json")))


def test_the_runs_with_large_steps_are_those_quoted() -> None:
    folder = DOCS / "staleness" / "demo-large-steps"
    records = staleness.collect(folder / "raw", SEEDS, REGIMES["demo-large-steps"])
    cells = staleness.summary(records)
    published = json.loads((folder / "results.json").read_text("utf-8"))
    assert published["corrections"] == json.loads(json.dumps(cells))
    text = " ".join((DOCS / "staleness" / "README.md").read_text("utf-8").split())
    for name in ("none", "token_tis"):
        assert f"`{name}` {cells[name]['8']['mean']} (KL" in text


def test_the_critics_table_follows_from_the_runs() -> None:
    folder = DOCS / "critic"
    records = critic_schedules.collect(folder / "raw", SEEDS, DEMO)
    figures = critic_schedules.summary(records)
    published = json.loads((folder / "results.json").read_text("utf-8"))
    assert published["schedules"] == json.loads(json.dumps(figures))
    assert critic_schedules.table(figures) in (folder / "README.md").read_text("utf-8")
