"""The staleness study: which runs make the grid, and what its tables say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.study.run import RunResult
from lab.study.staleness import CORRECTIONS, STALENESS, Records, collect, configuration, jobs, summary, table, write
from lab.study.staleness_regimes import REGIMES
from lab.study.store import Runs, save
from vapo.settings import corrections

NAMES = ("none", "token_tis")
REGIME = REGIMES["method-chains"]


def _record(accuracy: float) -> dict[str, Any]:
    figures = {"accuracy": [0.2, accuracy], "policy/kl_from_behaviour": [None, 0.01]}
    return {"accuracy": accuracy, "seconds": 2.0, "curve": figures}


def _records() -> Records:
    """``token_tis`` is better by 0.1 on stale rollouts, for either seed."""
    return {
        name: {
            staleness: {seed: _record(0.5 + 0.1 * seed + 0.1 * (name != "none" and staleness > 0)) for seed in range(2)}
            for staleness in STALENESS
        }
        for name in NAMES
    }


def test_every_correction_is_in_the_grid_and_runs_differ_in_it_alone() -> None:
    assert corrections.CORRECTIONS.keys() <= CORRECTIONS.keys()
    for name, switches in CORRECTIONS.items():
        options = configuration(name, 4, 0, REGIME).algorithm_settings()
        assert options.correction == switches["correction"]
        reference = configuration("none", 4, 0, REGIME)
        assert configuration(name, 4, 0, REGIME).regime == reference.regime
    grid = jobs(NAMES, 2, REGIME)
    assert len({label for label, _ in grid}) == len(NAMES) * len(STALENESS)
    assert [run.seed for _, run in grid] == [0] * 8 + [1] * 8


def test_differences_are_paired_over_seeds_and_staleness() -> None:
    cells = summary(_records())
    stale = cells["token_tis"]["stale"]
    assert stale["mean"] == pytest.approx(0.65)
    assert stale["less_reference"] == {"mean": 0.1, "low": 0.1, "high": 0.1}
    assert stale["blocks"] == 6
    assert cells["token_tis"]["0"]["seeds"] == {"0": 0.5, "1": 0.6}
    assert cells["none"]["8"]["kl"] == 0.01
    lines = table(cells).splitlines()
    assert lines[2].endswith("| 0.550 |  | 6 |")
    assert lines[3].endswith("| 0.650 | +0.100 ± 0.000 | 6 |")


def test_only_blocks_that_both_have_are_compared(tmp_path: Path) -> None:
    for _, run in jobs(NAMES, 2, REGIME)[:-1]:
        save(tmp_path, run, RunResult(0.5, [{"accuracy": 0.5}], 1.0))
    records = collect(Runs(tmp_path), 2, REGIME)
    assert sorted(records["none"][8]) == [0, 1]
    assert sorted(records["token_tis"][8]) == [0]
    stale = summary(records)["token_tis"]["stale"]
    assert stale["blocks"] == 5
    assert stale["less_reference"]["mean"] == 0.0


def test_a_column_is_shown_where_there_are_runs_and_one_beside_the_grid_is_in_no_block(tmp_path: Path) -> None:
    for _, run in jobs(NAMES, 1, REGIME, (1, 8)):
        save(tmp_path, run, RunResult(0.5, [{"accuracy": 0.5}], 1.0))
    cells = summary(collect(Runs(tmp_path), 1, REGIME))
    assert table(cells).splitlines()[0].startswith("| correction | staleness 1 | staleness 8 | 2 ")
    assert cells["token_tis"]["1"]["mean"] == 0.5
    assert cells["token_tis"]["stale"]["blocks"] == 1


def test_all_files_are_written(tmp_path: Path) -> None:
    write(tmp_path, _records(), REGIME, "the command")
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["command"] == "the command"
    assert content["seconds_of_all_runs"] == 32
    assert "shares of tokens clipped" in (tmp_path / "table.md").read_text()
    assert "</svg>" in (tmp_path / "staleness.svg").read_text()
