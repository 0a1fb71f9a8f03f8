"""Accuracy of several answers to each problem: avg@k, pass@k, maj@k.

Invariant: pure functions of counts and answers; no estimate depends on the order of samples.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence


def average_at_k(correct: Sequence[tuple[int, int]]) -> float:
    """Mean over problems of the share of correct samples.

    Args:
        correct: for each problem (correct samples, samples).
    """
    return statistics.fmean(hits / samples for hits, samples in correct)


def standard_error(correct: Sequence[tuple[int, int]]) -> float:
    """Standard error of :func:`average_at_k`, problems as the independent units; 0 for one."""
    if len(correct) < 2:
        return 0.0
    shares = [hits / samples for hits, samples in correct]
    return statistics.stdev(shares) / math.sqrt(len(shares))


def pass_at_k(correct: Sequence[tuple[int, int]], k: int) -> float:
    """Probability that at least one of ``k`` samples is correct, unbiased.

    Source: Chen et al. 2021 (arXiv 2107.03374), Eq 1: 1 - C(n - c, k) / C(n, k).

    Raises:
        ValueError: a problem has fewer than ``k`` samples.
    """
    return statistics.fmean(_pass_at_k(samples, hits, k) for hits, samples in correct)


def majority_at_k(answers: Sequence[Sequence[tuple[str | None, bool]]]) -> float:
    """Share of problems whose most frequent answer is correct.

    Ties count as the expectation of a fair draw; a problem without any answer counts as wrong.

    Args:
        answers: for each problem the (extracted answer or None, correct) of its samples.
    """
    return statistics.fmean(_majority(samples) for samples in answers)


def pass_sizes(samples: int) -> list[int]:
    """The k of pass@k worth telling: powers of two below ``samples``, and ``samples``."""
    powers = [1 << exponent for exponent in range(samples.bit_length()) if 1 << exponent < samples]
    return [*powers, samples]


def _pass_at_k(samples: int, hits: int, k: int) -> float:
    if k > samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, got {samples}")
    return 1.0 - math.comb(samples - hits, k) / math.comb(samples, k)


def _majority(samples: Sequence[tuple[str | None, bool]]) -> float:
    votes: dict[str, list[bool]] = defaultdict(list)
    for answer, correct in samples:
        if answer is not None:
            votes[answer].append(correct)
    if not votes:
        return 0.0
    most = max(map(len, votes.values()))
    return statistics.fmean(statistics.fmean(group) for group in votes.values() if len(group) == most)
