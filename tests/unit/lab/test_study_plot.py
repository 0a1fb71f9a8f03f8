"""A map's picture shows what its table says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from lab.study.plot import draw_map, draw_means
from lab.study.statistics import mean_interval

RUNS = {0.0: [0.2, 0.4, 0.3], 1.0: [0.7]}


@pytest.fixture
def axis() -> Iterator[Axes]:
    """An empty plot."""
    figure, axis = plt.subplots()
    yield axis
    plt.close(figure)


def test_points_are_means_with_their_intervals(axis: Axes) -> None:
    draw_means(axis, RUNS, "VAPO", "C0")
    (container,) = axis.containers
    points, _, (bars,) = container.lines
    assert points.get_xydata().tolist() == [[0.0, pytest.approx(0.3)], [1.0, 0.7]]
    (_, low), (_, high) = bars.get_segments()[0]
    interval = mean_interval(RUNS[0.0])
    assert (low, high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_every_run_is_a_dot(axis: Axes) -> None:
    draw_means(axis, RUNS, "VAPO", "C0")
    dots = [line.get_ydata().tolist() for line in axis.lines if line.get_marker() == "."]
    assert dots == list(RUNS.values())


def test_a_variant_without_runs_in_a_regime_leaves_a_gap(tmp_path: Path) -> None:
    both = {"vapo": {0: {"accuracy": 0.8}}, "grpo": {0: {"accuracy": 0.5}}}
    draw_map({"short": both, "long": {"vapo": both["vapo"]}}, ["vapo", "grpo"], tmp_path / "map.svg")
    ElementTree.parse(tmp_path / "map.svg")  # noqa: S314 - written a line above
