"""What is known of each off-policy correction without computing one; settings are checked by it.

Invariant: ``trainer.algorithm.corrections`` has one function, with its equation and source, for each
name here (a test compares the names).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """The two numbers a correction may use, of a ratio or, with DPPO, of a difference of
    probabilities; see each function."""

    low: float
    high: float


@dataclass(frozen=True)
class CorrectionFacts:
    """What the platform must know of a correction beside its function."""

    low: float | None = None
    """Lower bound where none is set; None: the correction has no lower bound."""
    high: float | None = None
    """Upper bound, likewise."""
    needs_proximal: bool = True
    """Whether it reads the proximal log-probs, which cost one more forward pass per rollout step
    when that has several optimiser steps."""
    clipped: bool = True
    """Eq 8's clipped surrogate; False: weight * A * log pi."""
    bounds_ratio: bool = True
    """Bounds are of a ratio and lie around 1; False: of a difference of probabilities."""


CORRECTIONS: dict[str, CorrectionFacts] = {
    "none": CorrectionFacts(needs_proximal=False),
    "token_tis": CorrectionFacts(high=2.0),
    "sequence_mask": CorrectionFacts(0.5, 2.0),
    "geometric_mask": CorrectionFacts(0.999, 1.001),
    "icepop": CorrectionFacts(0.5, 5.0),
    "decoupled": CorrectionFacts(),
    "dis": CorrectionFacts(0.7, 6.0, needs_proximal=False, clipped=False),
    "cispo": CorrectionFacts(0.0, 5.0, needs_proximal=False, clipped=False),
    "dppo": CorrectionFacts(0.2, 0.2, needs_proximal=False, bounds_ratio=False),
}
"""Value of ``algorithm.correction`` -> its facts. To add one: a row here, and its function in
``trainer.algorithm.corrections``."""


def correction_facts(name: str) -> CorrectionFacts:
    """Facts of the correction called ``name``.

    Raises:
        ValueError: no correction has that name.
    """
    if name not in CORRECTIONS:
        raise ValueError(f"algorithm.correction={name!r} is unknown; use one of {', '.join(CORRECTIONS)}")
    return CORRECTIONS[name]


def resolve_bounds(name: str, low: float | None, high: float | None) -> Bounds:
    """Bounds of correction ``name``: those given, else its own defaults.

    Raises:
        ValueError: a bound that the correction does not use, or that does not leave a ratio of 1
            alone, so that even on-policy tokens would be changed; a difference of probabilities
            that is not above 0 and at most 1.
    """
    facts = correction_facts(name)
    for side, value, default in (("low", low, facts.low), ("high", high, facts.high)):
        if value is not None and default is None:
            raise ValueError(
                f"algorithm.correction_{side}={value!r} is not allowed: correction={name!r} has "
                f"no {side} bound; leave correction_{side} out or change correction"
            )
    bounds = Bounds(
        next(value for value in (low, facts.low, 0.0) if value is not None),
        next(value for value in (high, facts.high, math.inf) if value is not None),
    )
    if facts.bounds_ratio:
        _check_ratio_bounds(bounds, facts)
    else:
        _check_difference_bounds(bounds)
    return bounds


def _check_ratio_bounds(bounds: Bounds, facts: CorrectionFacts) -> None:
    if not (0 <= bounds.low < 1 or (bounds.low == 1 and facts.clipped)):
        raise ValueError(
            f"algorithm.correction_low={bounds.low!r} is not allowed: a ratio of 1, on-policy, "
            "would not count; set it to 0 or more and less than 1"
        )
    if not (bounds.high > 1 or (bounds.high == 1 and facts.clipped)):
        raise ValueError(
            f"algorithm.correction_high={bounds.high!r} is not allowed: a ratio of 1, "
            "on-policy, would not count in full; set it to more than 1"
        )


def _check_difference_bounds(bounds: Bounds) -> None:
    for side, value in (("low", bounds.low), ("high", bounds.high)):
        if not 0 < value <= 1:
            raise ValueError(
                f"algorithm.correction_{side}={value!r} is not allowed: it is a difference of "
                "probabilities; set it to more than 0 and at most 1 (usual: 0.2)"
            )
