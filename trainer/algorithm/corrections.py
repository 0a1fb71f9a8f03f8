"""Off-policy corrections of the per-token loss: named pure functions in one registry.

Three policies meet in one token: the *behaviour* policy that sampled it (the generator's log-prob,
possibly of older weights and other kernels), the *proximal* policy (the trainer's weights at the
start of the rollout step) and the *current* one. A correction says which of them the ratio of Eq 2
is taken against (the *anchor*) and with what constant weight the token counts.

Invariants:
- anchor and weights never carry gradient;
- a weight never enters a denominator, so a token that is turned off lowers the loss and does not
  make the others count for more;
- at zero staleness and zero mismatch every correction is the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0
"""exp(20) is about 5e8: beyond it a ratio only overflows (our choice, as common in practice)."""


@dataclass(frozen=True)
class TokenLogProbs:
    """Log-probs of the sampled tokens, float[n] each, without gradient."""

    current: Tensor
    proximal: Tensor
    behaviour: Tensor


@dataclass(frozen=True)
class Bounds:
    """The two numbers a correction may use; see each function."""

    low: float
    high: float


@dataclass(frozen=True)
class Correction:
    """``anchor``: float[n], denominator of the ratio (log-probs); ``weights``: float[n], >= 0."""

    anchor: Tensor
    weights: Tensor


CorrectionFunction = Callable[[TokenLogProbs, Bounds], Correction]


def no_correction(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """Ratio against the behaviour policy itself, no weight: Eq 2 as written, pi_old = behaviour.

    Staleness and engine mismatch are inside the ratio and meet the clip ("bypass" in verl). A
    weight on top would count them twice. ``bounds`` are not used.
    """
    return Correction(log_probs.behaviour, torch.ones_like(log_probs.behaviour))


def token_tis(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """Truncated importance sampling: weight min(proximal / behaviour, ``bounds.high``)."""
    ratio = bounded_exp(log_probs.proximal - log_probs.behaviour)
    return Correction(log_probs.proximal, ratio.clamp(max=bounds.high))


def icepop(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """IcePop (Ring-1T, arXiv 2510.18855): as TIS inside [low, high], zero outside."""
    ratio = bounded_exp(log_probs.proximal - log_probs.behaviour)
    inside = (ratio >= bounds.low) & (ratio <= bounds.high)
    return Correction(log_probs.proximal, torch.where(inside, ratio, torch.zeros_like(ratio)))


def decoupled(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """Decoupled PPO (arXiv 2110.00641; AReaL, arXiv 2505.24298 Eq 5): full weight, no bound.

    The clip keeps the current policy near the proximal one, the weight makes the expectation that
    of the behaviour policy. ``bounds`` are not used.
    """
    return Correction(log_probs.proximal, bounded_exp(log_probs.proximal - log_probs.behaviour))


CORRECTIONS: dict[str, CorrectionFunction] = {
    "none": no_correction,
    "token_tis": token_tis,
    "icepop": icepop,
    "decoupled": decoupled,
}
"""Name in the settings -> function. To add one: write the function, name it here."""


def correction_names() -> tuple[str, ...]:
    """Names a setting may take."""
    return tuple(CORRECTIONS)


def needs_proximal_log_probs(name: str) -> bool:
    """Whether correction ``name`` reads the proximal log-probs, which cost one more forward pass
    per rollout step when it has several optimiser steps."""
    return name != "none"


def bounded_exp(log_ratio: Tensor) -> Tensor:
    """exp of a log ratio, float[n], held within +-``LOG_RATIO_LIMIT`` so that it stays finite."""
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def correct(name: str, log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """Apply correction ``name``.

    Raises:
        ValueError: no correction has that name.
    """
    if name not in CORRECTIONS:
        raise ValueError(f"correction={name!r} is unknown; use one of {', '.join(CORRECTIONS)}")
    with torch.no_grad():
        return CORRECTIONS[name](log_probs, bounds)
