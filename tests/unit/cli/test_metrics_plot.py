"""`vapo metrics --plot`: every panel, from whole rows, from rows with gaps, and without any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vapo.cli.dispatch import main
from vapo.cli.output.metrics_plot import PANELS, bias_by_length, by_position, curves, draw_metrics, held_out, plt

ROWS = [
    {
        "step": step,
        "reward": step / 10,
        "initial_value": None if step == 2 else step / 20,
        "ratio_p50": 1.0,
        "advantage_by_decile": [float(step + place) for place in range(9)] + [None],
        "value_bias_by_length": [{"length": 10.0 * step, "bias": 0.1}, {"length": 20.0 * step, "bias": -0.1}],
    }
    for step in range(1, 9)
]


def test_curves_leave_out_what_a_row_does_not_have() -> None:
    axis = plt.figure().subplots()
    curves("reward", "reward", "initial_value", "never")(axis, ROWS)
    reward, value, nothing = (line.get_xydata().tolist() for line in axis.get_lines())
    assert reward == [[row["step"], row["reward"]] for row in ROWS]
    assert [step for step, _ in value] == [1, 3, 4, 5, 6, 7, 8]
    assert nothing == []
    plt.close("all")


def test_profiles_are_means_over_consecutive_parts_of_the_run() -> None:
    axis = plt.figure().subplots()
    by_position("mean |A|", "advantage_by_decile")(axis, ROWS)
    assert [line.get_label() for line in axis.get_lines()] == [
        "steps 1 to 2",
        "steps 3 to 4",
        "steps 5 to 6",
        "steps 7 to 8",
    ]
    heights = axis.get_lines()[0].get_ydata().tolist()
    assert heights[:9] == [1.5 + place for place in range(9)]
    assert heights[9] != heights[9]
    other = plt.figure().subplots()
    bias_by_length(other, ROWS)
    assert other.get_lines()[0].get_xydata().tolist() == [[15.0, 0.1], [30.0, -0.1]]
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_command_draws_a_file_without_a_running_stack(tmp_path: Path, ending: str) -> None:
    source, drawn = tmp_path / "metrics.jsonl", tmp_path / f"curves.{ending}"
    source.write_text(
        "".join(json.dumps(row) + "\n" for row in [{"pretraining_step": 1}, *ROWS]) + '{"step": 9, "cut o'
    )
    assert main(["metrics", "--file", str(source), "--plot", str(drawn)]) == 0
    text = drawn.read_bytes()
    assert text.startswith(b"\x89PNG") if ending == "png" else b"</svg>" in text
    assert len(text) > 10_000


def test_the_command_prints_a_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "metrics.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert main(["metrics", "--file", str(source), "--last", "2", "--format", "jsonl"]) == 0
    assert [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()] == [7, 8]


def test_nothing_to_draw_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "metrics.jsonl"
    source.write_text('{"pretraining_step": 1}\n')
    assert main(["metrics", "--file", str(source), "--plot", str(tmp_path / "x.png")]) == 1
    assert "no training step to draw yet" in capsys.readouterr().err
    assert main(["metrics", "--file", str(tmp_path / "none")]) == 1
    assert "name a run's metrics.jsonl" in capsys.readouterr().err


@pytest.mark.slow
def test_every_panel_has_a_title_of_its_own(tmp_path: Path) -> None:
    assert len({title for title, _ in PANELS}) == len(PANELS) == 15
    draw_metrics([{"step": 1}], tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 10_000


def test_held_out_accuracy_stands_at_the_step_whose_weights_answered() -> None:
    axis = plt.figure().subplots()
    rows = [{"step": step, "version": step + 1} for step in range(1, 9)]
    summary = {"dataset": "test", "samples": 4, "standard_error": 0.1, "avg_at_k": 0.25}
    early = {**summary, "newest_weight_version": 0}
    unjudged = {"dataset": "test", "samples": 4, "newest_weight_version": 5}
    held_out([{**summary, "newest_weight_version": 5}, early, unjudged])(axis, rows)
    assert axis.get_lines()[0].get_xydata().tolist() == [[0.0, 0.25], [4.0, 0.25]]
    assert axis.get_legend_handles_labels()[1] == ["test, avg@4"]
    plt.close("all")


@pytest.mark.slow
def test_the_runs_name_stands_above_the_panels(tmp_path: Path) -> None:
    draw_metrics(ROWS, tmp_path / "named.svg", "my-run")
    assert (tmp_path / "named.svg").stat().st_size > 10_000
