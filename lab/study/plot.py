"""A study's pictures: learning curves (reward, response length, entropy, accuracy, and what the
critic explains of the return) of one regime; held-out accuracy over several.

Pictures are SVG: every large forge shows it in Markdown, it is sharp at any size, and compressed, as
a repository keeps it, these take a seventh of the PNG's bytes.

Invariant: the same data gives the same file everywhere (glyphs are paths, the salt is fixed, no date).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.study.report import TITLES, Records, accuracies
from lab.study.statistics import mean_interval

CURVES = (
    ("reward", "reward", "mean"),
    ("response_length", "response length", "tokens"),
    ("policy/entropy", "entropy", "nats per token"),
    ("accuracy", "accuracy", "share correct"),
    ("explained_variance", "explained variance", "share of the return's variance"),
)
SMOOTHING = 3
"""Rollout steps averaged in the drawing; the raw data is not smoothed."""


def draw(records: Records, file: Path) -> None:
    """Write ``file``: baselines above, leave-one-out variants below.

    Lines are means over seeds, against rollouts; VAPO's band is plus and minus a standard error.
    """
    baselines = [name for name in TITLES if name in records and not name.startswith("no_")]
    pieces = ["vapo", *(name for name in TITLES if name in records and name.startswith("no_"))]
    rows = [names for names in (baselines, pieces) if set(names) - {"vapo"}]
    figure, grid = plt.subplots(
        len(rows), len(CURVES), figsize=(22, 3.4 * len(rows) + 0.4), constrained_layout=True, squeeze=False
    )
    for axes, names in zip(grid, rows, strict=True):
        for axis, (key, title, unit) in zip(axes, CURVES, strict=True):
            _draw_curves(axis, key, {name: records[name] for name in names if name in records})
            axis.set(title=title, xlabel="rollouts", ylabel=unit)
            axis.grid(alpha=0.3)
        axes[-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    save_picture(figure, file)


def draw_map(regimes: Mapping[str, Records], variants: Sequence[str], file: Path) -> None:
    """Write ``file``: held-out accuracy of every variant in every regime.

    Points are means over seeds with their 95 % intervals, dots are runs.
    """
    figure, axis = plt.subplots(figsize=(2.4 + 1.4 * len(regimes), 3.6), constrained_layout=True)
    for place, variant in enumerate(variants):
        shift = 0.18 * (place - (len(variants) - 1) / 2)
        runs = {
            x + shift: accuracies(records[variant]) for x, records in enumerate(regimes.values()) if variant in records
        }
        draw_means(axis, runs, TITLES[variant], f"C{place}")
    axis.set_xticks(range(len(regimes)), regimes, rotation=20, ha="right")
    axis.set(ylabel="held-out accuracy", ylim=(0, 1))
    axis.grid(alpha=0.3, axis="y")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    save_picture(figure, file)


def draw_means(axis: Axes, runs: Mapping[float, list[float]], label: str, colour: str) -> None:
    """Means with intervals and single runs of one variant; ``runs``: place on the x axis ->
    held-out accuracies, at least one."""
    levels = [mean_interval(values) for values in runs.values()]
    # A single run has no interval; matplotlib leaves out what is NaN.
    axis.errorbar(
        list(runs),
        [level.mean for level in levels],
        yerr=[level.high - level.mean for level in levels],
        fmt="o",
        markersize=6,
        capsize=4,
        linewidth=1.4,
        color=colour,
        label=label,
    )
    for x, values in runs.items():
        axis.plot([x] * len(values), values, ".", markersize=3, color=colour, alpha=0.5)


def save_picture(figure: Figure, file: Path) -> None:
    """Write ``figure`` to the SVG ``file`` and close it."""
    with mpl.rc_context({"svg.hashsalt": "vapo"}):
        figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _draw_curves(axis: Axes, key: str, records: Records) -> None:
    for variant, runs in records.items():
        rollouts, values = _stack(runs, key)
        known = ~np.isnan(values).all(0)
        mean = np.nanmean(values[:, known], 0)
        (line,) = axis.plot(rollouts[known], mean, linewidth=2.4 if variant == "vapo" else 1.1, label=TITLES[variant])
        if variant == "vapo" and len(values) > 1:
            error = np.nanstd(values[:, known], 0, ddof=1) / np.sqrt(len(values))
            axis.fill_between(
                rollouts[known], mean - error, mean + error, alpha=0.25, color=line.get_color(), linewidth=0
            )


def _stack(runs: Mapping[int, dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Rollouts spent (int[steps]) and smoothed values (float[seeds, steps], NaN where unknown)."""
    per_step = next(iter(runs.values()))["configuration"]["regime"]["rollouts_per_step"]
    values = np.array([[np.nan if v is None else v for v in _column(run, key)] for run in runs.values()])
    smooth = np.stack([_smoothed(row) for row in values])
    return (np.arange(values.shape[1]) + 1) * per_step, smooth


def _column(run: Mapping[str, Any], key: str) -> list[float | None]:
    column: list[float | None] = run["curve"].get(key) or [None] * len(run["curve"]["step"])
    return column


def _smoothed(row: np.ndarray) -> np.ndarray:
    """Trailing mean over up to ``SMOOTHING`` known values."""
    return np.array([_mean(row[max(0, at - SMOOTHING + 1) : at + 1]) for at in range(len(row))])


def _mean(window: np.ndarray) -> float:
    known = window[~np.isnan(window)]
    return float(known.mean()) if len(known) and not np.isnan(window[-1]) else float("nan")
