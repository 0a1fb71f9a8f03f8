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


def correction(
    name: str, current: Row, proximal: Row, behaviour: Row, low: float, high: float
) -> tuple[list[float], list[float]]:
    """Anchor and weights of one row under off-policy correction ``name``."""
    pairs = list(zip(proximal, behaviour, strict=True))
    ratios = [math.exp(p) / math.exp(m) for p, m in pairs]
    moved = [math.exp(c) / math.exp(m) for c, m in zip(current, behaviour, strict=True)]
    product = math.prod(ratios)
    mean = product ** (1 / len(ratios))
    weights = {
        "none": [1.0 for _ in ratios],
        "token_tis": [min(rho, high) for rho in ratios],
        "sequence_mask": [product if low <= product <= high else 0.0 for _ in ratios],
        "geometric_mask": [1.0 if low <= mean <= high else 0.0 for _ in ratios],
        "icepop": [rho if low <= rho <= high else 0.0 for rho in ratios],
        "decoupled": ratios,
        "dis": [r if low < r < high else 0.0 for r in moved],
        "cispo": [min(max(r, low), high) for r in moved],
        "dppo": [1.0 for _ in ratios],
    }[name]
    anchored_at_behaviour = name in ("none", "dis", "cispo", "dppo")
    return list(behaviour if anchored_at_behaviour else proximal), weights


def dppo_imitation_weights(current: Row, behaviour: Row, high: float) -> list[float]:
    """1, and 0 for a token that is already likelier by more than ``high``."""
    return [0.0 if math.exp(c) - math.exp(m) > high else 1.0 for c, m in zip(current, behaviour, strict=True)]


@dataclass(frozen=True)
class Clip:
    """How a token's update is bounded: Eq 8's edges and dual clip's c, or not at all (``score``:
    A log pi, the ratio being in the weight). ``probability``: low and high bound pi - mu."""

    low: float
    high: float
    dual: float | None = None
    score: bool = False
    probability: bool = False


def surrogate(log_prob: float, anchor: float, advantage: float, clip: Clip) -> float:
    """min(r A, clip(r) A) of Eq 8, with dual clip not below c A; or A log pi."""
    if clip.score:
        return advantage * log_prob
    ratio = math.exp(log_prob - anchor)
    unit = math.exp(-anchor) if clip.probability else 1.0
    edges = 1 - clip.low * unit, 1 + clip.high * unit
    least = min(ratio * advantage, min(max(ratio, edges[0]), edges[1]) * advantage)
    if clip.dual is not None and advantage < 0:
        return max(least, clip.dual * advantage)
    return least


def surrogate_slope(log_prob: float, anchor: float, advantage: float, clip: Clip) -> float:
    """Its derivative with respect to the current log-prob."""
    if clip.score:
        return advantage
    ratio = math.exp(log_prob - anchor)
    gain = math.exp(log_prob) - math.exp(anchor) if clip.probability else ratio - 1
    if advantage > 0:
        blocked = gain > clip.high
    else:
        blocked = gain < -clip.low or (clip.dual is not None and ratio > clip.dual)
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
    positive_weights: Row | None = None
    """Weights of the positive-example loss where they are not ``weights``."""

    def imitation_weights(self, weighted: bool) -> Row:
        """Weights of the positive-example loss; all 1 where it is not ``weighted``."""
        if not weighted:
            return [1.0] * len(self.log_probs)
        return self.weights if self.positive_weights is None else self.positive_weights

    def tokens(self) -> list[tuple[float, float, float, float]]:
        """Log-prob, anchor, advantage and weight of each token."""
        return list(zip(self.log_probs, self.anchor, self.advantages, self.weights, strict=True))


def policy_loss(rows: Sequence[RowTerms], clip: Clip, token_level: bool) -> float:
    """Eq 7 (token level) or Eq 6 (sample level) over the rows of the policy loss."""
    used = [row for row in rows if row.in_policy]
    sums = [math.fsum(w * surrogate(p, q, a, clip) for p, q, a, w in row.tokens()) for row in used]
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
        w * p for row in chosen for p, w in zip(row.log_probs, row.imitation_weights(weighted), strict=True)
    )
    return -total / sum(len(row.log_probs) for row in chosen)


def policy_gradient(rows: Sequence[RowTerms], clip: Clip, token_level: bool, mu: float, weighted: bool) -> list[float]:
    """Gradient of Eq 10 with respect to every current log-prob, rows end to end."""
    used = [row for row in rows if row.in_policy]
    tokens = sum(len(row.log_probs) for row in used)
    positives = sum(len(row.log_probs) for row in used if row.correct)
    gradient = []
    for row in rows:
        share = 1 / tokens if token_level and tokens else 0.0
        if not token_level and used:
            share = 1 / (len(used) * len(row.log_probs))
        imitation = row.imitation_weights(weighted)
        for (p, q, a, w), w_positive in zip(row.tokens(), imitation, strict=True):
            slope = -share * w * surrogate_slope(p, q, a, clip)
            if row.correct:
                slope -= mu * w_positive / positives if positives else 0.0
            gradient.append(slope if row.in_policy else 0.0)
    return gradient


def value_loss(values: Sequence[Row], goals: Sequence[Row]) -> float:
    """Half the squared error, mean over all tokens."""
    errors = [
        0.5 * (v - g) ** 2 for row, goal in zip(values, goals, strict=True) for v, g in zip(row, goal, strict=True)
    ]
    return math.fsum(errors) / len(errors)
