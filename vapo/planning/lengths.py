"""Lengths of responses: log-normal, cut off at the longest allowed, with the wanted mean.

Invariant: the same seed gives the same lengths.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vapo.planning.quantities import Workload

BISECTIONS = 60


def draw_lengths(work: Workload, count: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """``count`` lengths in tokens, at least 1.

    Raises:
        ValueError: the mean is not below the longest length.
    """
    if work.spread == 0:
        return np.full(count, float(work.response_tokens))
    sigma = math.sqrt(math.log1p(work.spread**2))
    location = _location(work.response_tokens, work.longest_response, sigma)
    drawn = np.exp(random.normal(location, sigma, count))
    return np.clip(drawn, 1.0, work.longest_response)


def _location(mean: float, longest: float, sigma: float) -> float:
    """The log-normal's location with which the mean after the cut is ``mean``."""
    if mean >= longest:
        raise ValueError(
            f"a mean of {mean:g} tokens is not below the longest response, "
            f"{longest:g}; with --spread 0 all may be as long"
        )
    low, high = math.log(mean) - sigma**2 / 2, math.log(longest) + 40 * sigma
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _cut_mean(middle, sigma, longest) < mean else (low, middle)
    return (low + high) / 2


def _cut_mean(location: float, sigma: float, longest: float) -> float:
    """E[min(X, longest)] of a log-normal X."""
    border = (math.log(longest) - location) / sigma
    below = math.exp(location + sigma**2 / 2) * _normal(border - sigma)
    return below + longest * _normal(-border)


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))
