"""Estimators and losses once more, slowly: plain floats and loops, straight from the equations.

Shares nothing with ``trainer.algorithm``. Conventions: ``values[t]`` is V of the state before token
t; gamma = 1; one reward at the last token; V after the last token is ``final_value``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Row = Sequence[float]


def length_adaptive_lambda(length: int, alpha: float) -> float:
    """Eq 5, and 0 where it would fall below 0."""
    return 0.0 if alpha * length <= 1.0 else 1.0 - 1.0 / (alpha * length)


def advantages(values: Row, reward: float, lam: float, final_value: float = 0.0) -> list[float]:
    """Eq 3 as the double sum it is: A_t = sum_l lambda^l delta_{t+l}."""
    length = len(values)
    following = [*values[1:], final_value]
    rewards = [0.0] * (length - 1) + [reward]
    delta = [rewards[t] + following[t] - values[t] for t in range(length)]
    return [math.fsum(lam**k * delta[t + k] for k in range(length - t)) for t in range(length)]


def targets(values: Row, reward: float, lam: float, final_value: float = 0.0) -> list[float]:
    """Value targets: the advantage under lambda_critic plus the value."""
    estimates = advantages(values, reward, lam, final_value)
    return [a + v for a, v in zip(estimates, values, strict=True)]


def surrogate(log_ratio: float, advantage: float, low: float, high: float) -> float:
    """min(r A, clip(r) A) of Eq 8."""
    ratio = math.exp(log_ratio)
    return min(ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage)


def surrogate_slope(log_ratio: float, advantage: float, low: float, high: float) -> float:
    """Its derivative with respect to the current log-prob."""
    ratio = math.exp(log_ratio)
    blocked = (advantage > 0 and ratio > 1 + high) or (advantage < 0 and ratio < 1 - low)
    return 0.0 if blocked else ratio * advantage


@dataclass(frozen=True)
class RowTerms:
    """One response as the losses see it."""

    log_probs: Row
    anchor: Row
    advantages: Row
    weights: Row
    correct: bool
    in_policy: bool = True

    def tokens(self) -> list[tuple[float, float, float, float]]:
        """Log-prob, anchor, advantage and weight of each token."""
        return list(
            zip(self.log_probs, self.anchor, self.advantages, self.weights, strict=True)
        )


def policy_loss(rows: Sequence[RowTerms], low: float, high: float, token_level: bool) -> float:
    """Eq 7 (token level) or Eq 6 (sample level) over the rows of the policy loss."""
    used = [row for row in rows if row.in_policy]
    sums = [
        math.fsum(w * surrogate(p - q, a, low, high) for p, q, a, w in row.tokens())
        for row in used
    ]
    if not used:
        return 0.0
    if token_level:
        return -math.fsum(sums) / sum(len(row.log_probs) for row in used)
    return -math.fsum(s / len(row.log_probs) for s, row in zip(sums, used, strict=True)) / len(used)


def positive_example_loss(rows: Sequence[RowTerms], weighted: bool) -> float:
    """Eq 9 over correct rows."""
    chosen = [row for row in rows if row.correct and row.in_policy]
    if not chosen:
        return 0.0
    total = math.fsum(
        (w if weighted else 1.0) * p
        for row in chosen
        for p, w in zip(row.log_probs, row.weights, strict=True)
    )
    return -total / sum(len(row.log_probs) for row in chosen)


def policy_gradient(
    rows: Sequence[RowTerms], low: float, high: float, token_level: bool, mu: float, weighted: bool
) -> list[float]:
    """Gradient of Eq 10 with respect to every current log-prob, rows end to end."""
    used = [row for row in rows if row.in_policy]
    tokens = sum(len(row.log_probs) for row in used)
    positives = sum(len(row.log_probs) for row in used if row.correct)
    gradient = []
    for row in rows:
        share = 1 / tokens if token_level and tokens else 0.0
        if not token_level and used:
            share = 1 / (len(used) * len(row.log_probs))
        for p, q, a, w in row.tokens():
            slope = -share * w * surrogate_slope(p - q, a, low, high)
            if row.correct:
                slope -= mu * (w if weighted else 1.0) / positives if positives else 0.0
            gradient.append(slope if row.in_policy else 0.0)
    return gradient


def value_loss(values: Sequence[Row], goals: Sequence[Row]) -> float:
    """Half the squared error, mean over all tokens."""
    errors = [
        0.5 * (v - g) ** 2
        for row, goal in zip(values, goals, strict=True)
        for v, g in zip(row, goal, strict=True)
    ]
    return math.fsum(errors) / len(errors)
