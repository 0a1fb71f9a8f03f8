"""What a demo run found: text for people, and one JSON object for programs. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vapo.demo.metrics_rows import MetricsRows
from vapo.demo.progress import clock
from vapo.demo.state import DemoState, Example, Measurement


def outcome(state: DemoState, rows: MetricsRows, folder: Path) -> dict[str, Any]:
    """The last line of the demo. Times in seconds, lengths in tokens.

    `seconds` is everything after installation, over all sessions of the run; `tokens_per_second`
    is response tokens trained on by second of reinforcement learning.
    """
    before, after = required(state.before), required(state.after)
    return {
        "accuracy_before": round(before.accuracy, 4),
        "accuracy_after": round(after.accuracy, 4),
        "standard_error_before": round(before.standard_error, 4),
        "standard_error_after": round(after.standard_error, 4),
        "length_before": round(before.mean_length, 1),
        "length_after": round(after.mean_length, 1),
        "problems": after.problems,
        "samples": after.samples,
        "seconds": round(state.seconds, 1),
        "startup_seconds": round(state.startup_seconds, 1),
        "value_pretraining_seconds": round(state.value_pretraining_seconds, 1),
        "rl_seconds": round(state.rl_seconds, 1),
        "steps": rows.step,
        "tokens_per_second": round(rows.tokens / state.rl_seconds, 1) if state.rl_seconds else 0.0,
        "seed": state.seed,
        "weight_version": after.weight_version,
        "run_dir": str(folder),
    }


def required(measured: Measurement | None) -> Measurement:
    """A measurement that a finished run has."""
    if measured is None:
        raise ValueError("the run is not finished: an evaluation is missing")
    return measured


def text(state: DemoState, found: dict[str, Any], plot: Path, checkpoint: Path | None) -> str:
    """The summary people read."""
    before, after = required(state.before), required(state.after)
    return "\n".join(
        [
            "",
            "Responses to held-out problems before:",
            *(indented(one) for one in before.examples),
            "... and after:",
            *(indented(one) for one in after.examples),
            "",
            f"Held-out accuracy (avg@{after.samples}, temperature 1.0, {after.problems} problems): "
            f"{share(before)} before, {share(after)} after",
            f"Response length: {before.mean_length:.0f} tokens before, {after.mean_length:.0f} after",
            f"Time: {clock(state.seconds)} in all, of it {clock(state.startup_seconds)} start-up, "
            f"{clock(state.value_pretraining_seconds)} value pretraining, "
            f"{clock(state.rl_seconds)} reinforcement learning "
            f"({found['steps']} steps, {found['tokens_per_second']:.0f} tokens/s)",
            f"Plot: {plot}",
            f"Checkpoint: {checkpoint or 'none was written'}",
            f"As a Hugging Face folder: vapo export --run {found['run_dir']} --output FOLDER",
        ]
    )


def share(measured: Measurement) -> str:
    """Accuracy with its standard error."""
    return f"{measured.accuracy:.3f} ± {measured.standard_error:.3f}"


def indented(one: Example) -> str:
    """A problem, its response and the verdict."""
    verdict = "correct" if one.correct else f"wrong, it is {one.answer}"
    body = "\n".join(f"    {row}" for row in one.text.strip().splitlines())
    return f"  {one.prompt}\n{body}\n    ({verdict})"
