"""Means over seeds with 95 % intervals, and paired differences.

Invariant: intervals are Student's t; with one value they are unknown (NaN), never zero wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; beyond, the expansion below.
_QUANTILES = (
    12.7062,
    4.3027,
    3.1824,
    2.7764,
    2.5706,
    2.4469,
    2.3646,
    2.3060,
    2.2622,
    2.2281,
    2.2010,
    2.1788,
    2.1604,
    2.1448,
    2.1314,
    2.1199,
    2.1098,
    2.1009,
    2.0930,
    2.0860,
    2.0796,
    2.0739,
    2.0687,
    2.0639,
    2.0595,
    2.0555,
    2.0518,
    2.0484,
    2.0452,
    2.0423,
)
_NORMAL_QUANTILE = 1.959964


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the intervals have a point in common."""
        return self.low <= other.high and other.low <= self.high


def t_quantile(degrees_of_freedom: int) -> float:
    """97.5 % quantile of Student's t, to three decimals.

    Raises:
        ValueError: ``degrees_of_freedom`` is below 1.
    """
    if degrees_of_freedom < 1:
        raise ValueError(f"degrees_of_freedom={degrees_of_freedom}; an interval needs two values")
    if degrees_of_freedom <= len(_QUANTILES):
        return _QUANTILES[degrees_of_freedom - 1]
    # First terms of the Cornish-Fisher expansion about the normal quantile.
    z, n = _NORMAL_QUANTILE, degrees_of_freedom
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean of ``values`` with its 95 % t-interval.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("a mean needs at least one value; run at least one seed")
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, math.nan, math.nan)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = t_quantile(count - 1) * math.sqrt(variance / count)
    return Interval(mean, mean - half, mean + half)


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """Mean of ``values - reference`` over paired seeds, with its 95 % interval.

    Raises:
        ValueError: different numbers of values.
    """
    return mean_interval([a - b for a, b in zip(values, reference, strict=True)])
