"""What the demo shows and remembers: progress, summary, state, metrics rows, clock."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from vapo.demo.clock import TrainingClock
from vapo.demo.metrics_rows import MetricsRows, rows_so_far
from vapo.demo.progress import Snapshot, clock, fields, line
from vapo.demo.state import CurvePoint, DemoState, Example, Measurement, load_state
from vapo.demo.summary import outcome, text

ROW = {
    "step": 7,
    "reward": -0.25,
    "accuracy": 0.375,
    "response_length": 81.6,
    "entropy": 0.0521,
    "explained_variance": None,
    "tokens_per_second": 4321.4,
    "staleness_mean": 1.0,
}
BEFORE = Measurement(0.22, 0.01, 60.0, 200, 4, 0, [Example("1+1=?", "2", "1+1: 3", False)])
AFTER = Measurement(0.85, 0.02, 90.0, 200, 4, 31, [Example("1+1=?", "2", "1+1: 2", True)])


def finished_state() -> DemoState:
    state = DemoState(3, 1e9, 500.0, 40.0, 12.0, 330.0, BEFORE, AFTER, [CurvePoint(5, 0.5)], 1)
    state.trained = True
    return state


def test_a_line_holds_every_known_figure_and_no_unknown_one() -> None:
    depths = {"tasks": 4, "generated": 0, "verified": 1, "scored": 9, "backlog": 3}
    snapshot = Snapshot("reinforcement learning", 83.0, 247.0, 7, ROW, 0.22, 0.41, 5, depths)
    assert line(snapshot) == (
        "[1:23, 4:07 left] reinforcement learning: step 7  reward -0.25  train accuracy 0.38  "
        "held-out accuracy 0.41 (step 5, 0.22 before)  length 82 tokens  entropy 0.052 nats  "
        "tokens/s 4321  staleness 1.00 steps  queues tasks 4, generated 0, verified 1, scored 9"
    )


def test_a_line_before_the_first_step() -> None:
    assert line(Snapshot("starting", 0.0, 400.0)) == "[0:00, 6:40 left] starting"
    assert dict(fields(Snapshot("starting", 0.0, 400.0)))["reward"] == "-"


@pytest.mark.parametrize(("seconds", "shown"), [(0.0, "0:00"), (59.6, "1:00"), (3723.0, "62:03"), (-5.0, "0:00")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_training_time_adds_up_over_sessions() -> None:
    counter = TrainingClock(earlier=100.0)
    assert counter.seconds(5000.0) == 100.0
    counter.start(5000.0)
    counter.start(6000.0)
    assert counter.seconds(5030.0) == 130.0


def test_state_survives_a_restart(tmp_path: Path) -> None:
    state = finished_state()
    state.save(tmp_path)
    assert load_state(tmp_path) == state
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600
    assert load_state(tmp_path / "elsewhere") is None


def write_rows(folder: Path, rows: list[dict[str, Any]], end: str = "") -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows) + end
    (folder / "metrics.jsonl").write_text(text)


def test_rows_done_again_count_once_and_half_a_row_not_at_all(tmp_path: Path) -> None:
    write_rows(
        tmp_path,
        [
            {"pretraining_step": 1, "tokens": 5},
            {"step": 1, "tokens": 100},
            {"step": 2, "tokens": 1},
            {"step": 2, "tokens": 200},
        ],
        end='{"step": 3, "tok',
    )
    rows = rows_so_far(tmp_path)
    assert (rows.step, rows.tokens, rows.newest) == (2, 300, {"step": 2, "tokens": 200})
    assert [row["tokens"] for row in rows.pretraining] == [5]


def test_no_rows_yet(tmp_path: Path) -> None:
    assert rows_so_far(tmp_path) == MetricsRows([], [])
    assert rows_so_far(tmp_path).newest == {}


def test_outcome_and_summary() -> None:
    rows = MetricsRows([], [{"step": 1, "tokens": 33_000}, {"step": 2, "tokens": 66_000}])
    found = outcome(finished_state(), rows, Path("runs/demo-1"))
    wanted = {
        "accuracy_before": 0.22,
        "accuracy_after": 0.85,
        "seconds": 500.0,
        "rl_seconds": 330.0,
        "steps": 2,
        "tokens_per_second": 300.0,
        "run_dir": "runs/demo-1",
    }
    assert wanted.items() <= found.items()
    shown = text(finished_state(), found, Path("curves.png"), None)
    assert "0.220 ± 0.010 before, 0.850 ± 0.020 after" in shown
    assert "(wrong, it is 2)" in shown
    assert "(correct)" in shown


def test_an_unfinished_run_has_no_outcome() -> None:
    with pytest.raises(ValueError, match="an evaluation is missing"):
        outcome(DemoState(0, 0.0), MetricsRows([], []), Path("run"))
