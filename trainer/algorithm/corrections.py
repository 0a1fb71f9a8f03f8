"""Off-policy corrections of the per-token loss: named pure functions in one registry.

Three policies meet in one token: the *behaviour* policy mu that sampled it (the generator's
log-prob, possibly of older weights and other kernels), the *proximal* policy pi_prox (the trainer's
weights at the start of the rollout step) and the *current* one, pi. A correction says which of them
the ratio of Eq 2 is taken against (the *anchor*) and with what constant weight the token counts.
Its loss is either the clipped surrogate of Eq 8 or, for the two that bound the ratio itself in
place of the update (DIS, CISPO), weight * A * log pi.

Invariants:
- anchor and weights never carry gradient, also where the weight is made of the current policy;
- a weight never enters a denominator, so a token that is turned off lowers the loss and does not
  make the others count for more;
- at zero staleness and zero mismatch every weight is exactly 1 and every gradient that of plain
  clipped PPO;
- a micro-batch holds whole rows, so a weight made of a row does not depend on the split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.algorithm.ragged import expand_rows, sum_rows
from vapo.settings.corrections import Bounds

LOG_RATIO_LIMIT = 20.0
"""exp(20) is about 5e8: beyond it a ratio only overflows (our choice, as common in practice)."""


@dataclass(frozen=True)
class TokenLogProbs:
    """Log-probs of the sampled tokens, float[n] each, without gradient."""

    current: Tensor
    proximal: Tensor
    behaviour: Tensor
    lengths: Tensor
    """int64[b], response tokens of each row; they add up to n."""


@dataclass(frozen=True)
class Correction:
    """``anchor``: float[n], denominator of the ratio (log-probs); ``weights``: float[n], >= 0."""

    anchor: Tensor
    weights: Tensor
    clip: tuple[Tensor, Tensor] | None = None
    """Distances of the clip's lower and upper edge from 1, float[n] each, in place of epsilon_low
    and epsilon_high of Eq 8."""
    imitation_weights: Tensor | None = None
    """float[n], weights of the positive-example loss where they are not ``weights``."""


CorrectionFunction = Callable[[TokenLogProbs, Bounds], Correction]


def no_correction(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """r = pi / mu, weight 1: Eq 2 as written, pi_old = mu.

    Staleness and engine mismatch are inside the ratio and meet the clip ("bypass" in verl's
    rollout correction). A weight on top would count them twice. ``bounds`` are not used.
    """
    return Correction(log_probs.behaviour, torch.ones_like(log_probs.behaviour))


def token_tis(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """r = pi / pi_prox, weight min(rho, high) with rho = pi_prox / mu per token.

    Truncated importance sampling (Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You
    Off-Policy RL Training"; OpenReview xsonlP8DRV). ``bounds.low`` is not used.
    """
    ratio = bounded_exp(log_probs.proximal - log_probs.behaviour)
    return Correction(log_probs.proximal, ratio.clamp(max=bounds.high))


def sequence_mask(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """r = pi / pi_prox, weight P = prod_t rho_t of the row where low <= P <= high, else 0.

    Sequence-level masked importance sampling (Liu, Li et al. 2025, "When Speed Kills Stability")
    with the two-sided acceptance set of verl's rollout correction. Every token of a row has the
    same weight; the longer the row, the likelier it leaves the band.
    """
    log_ratio = (log_probs.proximal - log_probs.behaviour).double()
    product = bounded_exp(sum_rows(log_ratio, log_probs.lengths))
    weights = torch.where(_inside(product, bounds), product, 0.0)
    return Correction(log_probs.proximal, _per_token(weights, log_probs))


def geometric_mask(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """r = pi / pi_prox, weight 1 where low <= (prod_t rho_t)^(1/L) <= high for the row, else 0.

    Geometric rejection (verl's rollout correction, ``geo_rs``; Step-3.5-Flash, arXiv 2602.10604,
    has it with 0.996 to 1.001): the mean log ratio of a row, so that long rows are not turned away
    for being long. Kept rows are not reweighted.
    """
    log_ratio = (log_probs.proximal - log_probs.behaviour).double()
    mean = sum_rows(log_ratio, log_probs.lengths) / log_probs.lengths
    weights = _inside(bounded_exp(mean), bounds).double()
    return Correction(log_probs.proximal, _per_token(weights, log_probs))


def icepop(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """r = pi / pi_prox, weight rho where low <= rho <= high, else 0, per token.

    IcePop's M(k) (Ring-1T, arXiv 2510.18855): as TIS inside the band, nothing outside.
    """
    ratio = bounded_exp(log_probs.proximal - log_probs.behaviour)
    return Correction(log_probs.proximal, torch.where(_inside(ratio, bounds), ratio, 0.0))


def decoupled(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """r = pi / pi_prox, weight rho = pi_prox / mu without bound.

    Decoupled PPO (Hilton et al., arXiv 2110.00641; AReaL, arXiv 2505.24298 Eq 5). The clip keeps
    the current policy near the proximal one, the weight makes the expectation that of the behaviour
    policy. ``bounds`` are not used.
    """
    return Correction(log_probs.proximal, bounded_exp(log_probs.proximal - log_probs.behaviour))


def dis(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """Loss -f(r) A log pi with r = pi / mu and f(r) = r where low < r < high, else 0.

    Direct double-sided importance sampling (GLM-5, arXiv 2602.15763): low = 1 - eps_l and
    high = 1 + eps_h; there is no proximal policy. f is taken as constant, as a score-function
    estimator has it (the report names no stop-gradient).
    """
    ratio = bounded_exp(log_probs.current - log_probs.behaviour)
    inside = (ratio > bounds.low) & (ratio < bounds.high)
    return Correction(log_probs.behaviour, torch.where(inside, ratio, 0.0))


def cispo(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """Loss -sg(clip(r, low, high)) A log pi with r = pi / mu.

    CISPO (MiniMax-M1, arXiv 2506.13585 Eq 4-5): low = 1 - eps_low_IS, which the paper puts out of
    action, and high = 1 + eps_high_IS. No token loses its gradient.
    """
    ratio = bounded_exp(log_probs.current - log_probs.behaviour)
    return Correction(log_probs.behaviour, ratio.clamp(bounds.low, bounds.high))


def dppo(log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """Objective r A with r = pi / mu, nothing where A > 0 and pi - mu > high, or A < 0 and
    pi - mu < -low: pi, mu are the probabilities of the sampled token.

    DPPO-Binary-TV ("Rethinking the Trust Region in LLM Reinforcement Learning", arXiv 2602.04879),
    the mask of prime-rl's default loss (``dppo_mask_low``, ``dppo_mask_high``: 0.2 each) and of
    verl's ``dppo_tv``. The trust region is a distance of probabilities, so a rare token may become
    many times likelier, or rarer, before it is left alone. Written here as a clip of the ratio at
    1 - low / mu and 1 + high / mu, which has the same gradient. The positive-example loss, which
    pushes up alone, drops tokens with pi - mu > high.
    """
    inverse = (-log_probs.behaviour).exp()
    further = log_probs.current.exp() - log_probs.behaviour.exp()
    return Correction(
        log_probs.behaviour,
        torch.ones_like(log_probs.behaviour),
        clip=(bounds.low * inverse, bounds.high * inverse),
        imitation_weights=(further <= bounds.high).to(log_probs.behaviour.dtype),
    )


FUNCTIONS: dict[str, CorrectionFunction] = {
    "none": no_correction,
    "token_tis": token_tis,
    "sequence_mask": sequence_mask,
    "geometric_mask": geometric_mask,
    "icepop": icepop,
    "decoupled": decoupled,
    "dis": dis,
    "cispo": cispo,
    "dppo": dppo,
}
"""Value of ``algorithm.correction`` -> function. To add one: write it, name it here, and give its
facts a row in ``vapo.settings.corrections``."""


def bounded_exp(log_ratio: Tensor) -> Tensor:
    """exp of a log ratio, float[n], held within +-``LOG_RATIO_LIMIT`` so that it stays finite."""
    return log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()


def correct(name: str, log_probs: TokenLogProbs, bounds: Bounds) -> Correction:
    """Apply correction ``name``, which settings have checked."""
    with torch.no_grad():
        return FUNCTIONS[name](log_probs, bounds)


def _inside(ratio: Tensor, bounds: Bounds) -> Tensor:
    return (ratio >= bounds.low) & (ratio <= bounds.high)


def _per_token(per_row: Tensor, log_probs: TokenLogProbs) -> Tensor:
    return expand_rows(per_row, log_probs.lengths).to(log_probs.behaviour.dtype)
