"""Curves of a run's metrics rows: learning, value diagnostics, staleness and off-policy figures.

Invariant: a figure that a row lacks (an older run, a run without critic) is a gap or an empty
panel, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from vapo.ledger.steps import step_of_version

Row = dict[str, Any]
Painter = Callable[[Axes, Sequence[Row]], None]

SPANS = 4
"""Parts of the run that a profile (by position, by length) is averaged over and drawn for."""


def draw_metrics(rows: Sequence[Row], file: Path, name: str | None = None, evaluations: Sequence[Row] = ()) -> None:
    """Write all panels of training ``rows`` (those with a ``step``) to ``file`` (PNG, SVG, PDF),
    under the run's ``name``, with the held-out accuracy of finished ``evaluations`` if there are.

    Raises:
        ValueError: no row has a step, or the file's ending names no known format.
    """
    known = [row for row in rows if "step" in row]
    if not known:
        raise ValueError("there is no training step to draw yet")
    figure, axes = plt.subplots(4, 4, figsize=(20, 16), constrained_layout=True)
    if name:
        figure.suptitle(f"{name}, steps {known[0]['step']} to {known[-1]['step']}")
    panels = (*PANELS, ("held-out accuracy", held_out(evaluations)))
    for axis, (title, paint) in zip(axes.flat, panels, strict=True):
        paint(axis, known)
        axis.set_title(title)
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
    figure.savefig(file, dpi=90)
    plt.close(figure)


def curves(unit: str, *names: str, scale: str = "linear") -> Painter:
    """A painter of figures over steps."""

    def paint(axis: Axes, rows: Sequence[Row]) -> None:
        for name in names:
            points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
            axis.plot([step for step, _ in points], [value for _, value in points], linewidth=1.3, label=name)
        axis.set_yscale(scale, **({"linthresh": 1e-6} if scale == "symlog" else {}))
        axis.set_xlabel("training step")
        axis.set_ylabel(unit)

    return paint


def by_position(unit: str, name: str) -> Painter:
    """A painter of a figure by tenth of the response, one line for each part of the run."""

    def paint(axis: Axes, rows: Sequence[Row]) -> None:
        for label, part in _parts([row for row in rows if row.get(name)]):
            deciles = [_mean([row[name][place] for row in part]) for place in range(10)]
            axis.plot([place + 0.5 for place in range(10)], deciles, "o-", label=label)
        axis.set_xlabel("tenth of the response")
        axis.set_ylabel(unit)

    return paint


def bias_by_length(axis: Axes, rows: Sequence[Row]) -> None:
    """V - R of short to long responses, one line for each part of the run."""
    name = "value_bias_by_length"
    for label, part in _parts([row for row in rows if row.get(name)]):
        count = min(len(row[name]) for row in part)
        points = [
            [_mean([row[name][place][key] for row in part]) for place in range(count)] for key in ("length", "bias")
        ]
        axis.plot(points[0], points[1], "o-", label=label)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xlabel("response length, tokens")
    axis.set_ylabel("mean V - R")


def held_out(evaluations: Sequence[Row]) -> Painter:
    """A painter of avg@k with its standard error over the steps whose weights answered."""

    def paint(axis: Axes, rows: Sequence[Row]) -> None:
        series: dict[str, list[tuple[int, float, float]]] = {}
        for one in evaluations:
            if one.get("avg_at_k") is not None and one.get("newest_weight_version") is not None:
                label = f"{one.get('dataset') or 'problems'}, avg@{one['samples']}"
                step = step_of_version(rows, one["newest_weight_version"])
                series.setdefault(label, []).append((step, one["avg_at_k"], one.get("standard_error") or 0.0))
        for label, points in series.items():
            steps, scores, errors = zip(*sorted(points), strict=True)
            axis.errorbar(steps, scores, errors, marker="o", capsize=3, label=label)
        axis.set_xlabel("training step")
        axis.set_ylabel("share correct")

    return paint


PANELS: tuple[tuple[str, Painter], ...] = (
    ("reward and V of the prompt", curves("reward", "reward", "initial_value")),
    ("accuracy", curves("share correct", "accuracy", "truncated_fraction")),
    ("response length", curves("tokens", "response_length")),
    ("entropy", curves("nats per token", "entropy")),
    ("staleness", curves("rollout steps", "staleness_mean", "staleness_max")),
    ("critic", curves("explained variance, correlation", "explained_variance", "initial_value_correlation")),
    ("explained variance by position", by_position("explained variance", "explained_variance_by_decile")),
    ("|advantage| by position", by_position("mean |A|", "advantage_by_decile")),
    ("bias of V by response length", bias_by_length),
    ("bias of V", curves("mean V - R", "value_bias", "initial_value_bias")),
    (
        "ratio to the behaviour policy",
        curves("ratio", *("ratio_min", "ratio_p01", "ratio_p50", "ratio_p99", "ratio_max"), scale="log"),
    ),
    ("effective sample size", curves("share of tokens", "effective_sample_size", "ratio_effective_sample_size")),
    (
        "clipped and masked",
        curves("share of tokens", "clip_fraction_up", "clip_fraction_down", "correction_dropped_fraction"),
    ),
    (
        "policy lag and mismatch",
        curves("nats per token", "behaviour_kl", "behaviour_kl_k1", "mismatch_kl", scale="symlog"),
    ),
    (
        "difference of log-probs",
        curves("mean |difference|, nats", "behaviour_gap", "mismatch_magnitude", "mismatch_canary", scale="log"),
    ),
)
"""Title and painter of every panel, row by row."""


def _parts(rows: Sequence[Row]) -> list[tuple[str, Sequence[Row]]]:
    """``rows`` in at most ``SPANS`` consecutive parts, each with its steps as a label."""
    size = -(-len(rows) // SPANS) or 1
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [(f"steps {part[0]['step']} to {part[-1]['step']}", part) for part in parts]


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")
