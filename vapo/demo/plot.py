"""The three curves of the VAPO paper (response length, reward, entropy) and accuracy, as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from vapo.demo.state import DemoState
from vapo.local.run_folders.metrics_rows import Row

CURVES = (
    ("response_length", "response length", "tokens"),
    ("reward", "reward", "mean"),
    ("entropy", "entropy", "nats per token"),
)


def draw(rows: Sequence[Row], state: DemoState, file: Path) -> None:
    """Write the plot of training `rows` and the state's held-out accuracies to `file`."""
    figure, axes = plt.subplots(1, 4, figsize=(16, 3.6), constrained_layout=True)
    for axis, (key, title, unit) in zip(axes, CURVES, strict=False):
        known = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
        axis.plot([step for step, _ in known], [value for _, value in known], linewidth=1.4)
        label(axis, title, unit)
    draw_accuracy(axes[3], rows, state)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def draw_accuracy(axis: Axes, rows: Sequence[Row], state: DemoState) -> None:
    """Training accuracy, held-out accuracy on the way, and both ends with their standard errors."""
    steps = [row["step"] for row in rows]
    axis.plot(steps, [row["accuracy"] for row in rows], alpha=0.4, label="training")
    curve = state.curve
    axis.plot([point.step for point in curve], [point.accuracy for point in curve], "o-", label="held-out")
    last = steps[-1] if steps else 0
    for step, measured in ((0, state.before), (last, state.after)):
        if measured:
            axis.errorbar([step], [measured.accuracy], yerr=[measured.standard_error], fmt="s", color="black")
    axis.set_ylim(0, 1)
    axis.legend(loc="lower right")
    label(axis, "accuracy", "share correct")


def label(axis: Axes, title: str, unit: str) -> None:
    """Name an axis."""
    axis.set_title(title)
    axis.set_xlabel("training step")
    axis.set_ylabel(unit)
    axis.grid(alpha=0.3)
