"""Intervals and paired differences of the ablation study."""

from __future__ import annotations

import math

import pytest

from lab.study.statistics import Interval, mean_interval, paired_difference, t_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (4, 2.776), (9, 2.262), (30, 2.042), (31, 2.040), (60, 2.000), (120, 1.980)]
)
def test_quantiles_are_those_of_the_published_table(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, abs=6e-4)


def test_an_interval_by_hand() -> None:
    # Mean 3, standard deviation sqrt(2.5), half width 2.7764 * sqrt(2.5 / 5).
    interval = mean_interval([1, 2, 3, 4, 5])
    assert interval.mean == 3
    assert interval.high - 3 == pytest.approx(1.9632, abs=1e-3)
    assert 3 - interval.low == pytest.approx(interval.high - 3)


def test_a_paired_difference_takes_out_what_seeds_have_in_common() -> None:
    reference = [0.1, 0.5, 0.9]
    difference = paired_difference([value + 0.05 for value in reference], reference)
    assert difference.mean == pytest.approx(0.05)
    assert difference.high - difference.low < 1e-9
    assert mean_interval(reference).high - mean_interval(reference).low > 1


def test_one_value_has_no_interval() -> None:
    interval = mean_interval([0.5])
    assert interval.mean == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])
    with pytest.raises(ValueError, match="needs two values"):
        t_quantile(0)
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [1.0, 2.0])


def test_overlap() -> None:
    assert Interval(1, 0, 2).overlaps(Interval(2, 2, 3))
    assert not Interval(1, 0, 2).overlaps(Interval(3, 2.1, 4))
