"""The comparison of critic schedules: which runs, and what its table says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.study.critic_schedules import (
    REFERENCE,
    SCHEDULES,
    collect,
    configuration,
    jobs,
    pooled_explained_variance,
    summary,
    table,
    write,
)
from lab.study.run import Row, RunResult
from lab.study.staleness import configuration as staleness_configuration
from lab.study.staleness_regimes import REGIMES
from lab.study.store import Runs, save

REGIME = REGIMES["demo"]
OTHER = "3 passes, parts of 16, rate 3e-4"


def _curve(explained: list[float | None]) -> list[Row]:
    """One step of value pretraining, then one of reinforcement learning for each figure. The
    variance of the returns is 0.75, in the last step 0.25."""
    start: Row = {"step": 0, "phase": "value pretraining", "explained_variance": 0.9}
    rest: list[Row] = [
        {
            "step": number + 1,
            "phase": "reinforcement learning",
            "explained_variance": figure,
            "value/return": 0.5,
            "value/return_squared": 1.0 if number + 1 < len(explained) else 0.5,
        }
        for number, figure in enumerate(explained)
    ]
    return [start, *rest]


def _column(curve: list[Row]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in curve for name in row)
    return {name: [row.get(name) for row in curve] for name in names}


def test_schedules_differ_in_the_critic_alone() -> None:
    for name, fields in SCHEDULES.items():
        assert all(field.startswith("critic_") for field in fields)
        run = configuration(name, 1, REGIME)
        assert replace(run.regime, **{field: getattr(REGIME, field) for field in fields}) == REGIME
    assert [run.seed for _, run in jobs(tuple(SCHEDULES), 2, REGIME)] == [seed for seed in (0, 1) for _ in SCHEDULES]


def test_the_reference_is_the_staleness_studys_run() -> None:
    assert configuration(REFERENCE, 1, REGIME) == staleness_configuration("none", 0, 1, REGIME)


def test_explained_variance_is_pooled_by_the_variance_of_returns() -> None:
    curve = _column(_curve([0.4, None, 0.8]))
    assert pooled_explained_variance(curve, slice(None)) == pytest.approx(0.5)
    assert pooled_explained_variance(curve, slice(2, None)) == pytest.approx(0.8)
    assert pooled_explained_variance(curve, slice(1, 2)) is None


def test_all_figures_are_written(tmp_path: Path) -> None:
    for name, accuracy, critic in ((REFERENCE, 0.6, 5.0), (OTHER, 0.7, 15.0)):
        for seed in range(2):
            run = configuration(name, seed, REGIME)
            assert (name, run) in jobs([name], 2, REGIME)
            save(tmp_path, run, RunResult(accuracy, _curve([0.1, 0.2]), 9.0, {"critic": critic, "actor": 5.0}))
    records = collect(Runs(tmp_path), 2, REGIME)
    figures = summary(records)
    assert figures[OTHER]["less_reference"] == {"mean": 0.1, "half": 0.0}
    assert figures[OTHER]["critic_over_actor_seconds"] == 3.0
    lines = table(figures).splitlines()
    assert lines[3] == (f"| {OTHER} | 0.100 | 0.200 | 0.700 ± 0.000 | +0.100 ± 0.000 | 3.00 | 2 |")
    write(tmp_path, records, REGIME)
    assert set(json.loads((tmp_path / "results.json").read_text())["schedules"]) == {REFERENCE, OTHER}
    assert (tmp_path / "table.md").read_text() == table(figures) + "\n"
