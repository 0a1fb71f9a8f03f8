"""VAPO in three steps, to be read from top to bottom beside the paper (arXiv 2504.05118).

1. :func:`compute_advantages_and_targets` once per rollout batch, before the critic or the actor
   learns from it (a critic that has seen a row's return is no longer its baseline);
2. :func:`count_denominators` once per optimiser step, over the rows of all ranks;
3. :func:`policy_objective` and :func:`value_objective` once per micro-batch.

Invariants:
- losses of micro-batches add up to the loss of the optimiser step, however it is split over
  micro-batches and ranks. (Data parallelism that *averages* gradients over W ranks needs the loss
  times W.);
- gradient flows through the current log-probs and the current values only;
- with an empty denominator a loss is exactly 0 and still has a gradient (of zeros).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

from trainer.algorithm.advantages import AdvantagesAndTargets, decoupled_gae
from trainer.algorithm.corrections import Correction, TokenLogProbs, correct
from trainer.algorithm.denominators import Denominators, masked_mean
from trainer.algorithm.group_advantages import group_advantages, uniform_groups
from trainer.algorithm.lambdas import constant_lambda, length_adaptive_lambda
from trainer.algorithm.metrics import MetricSums, policy_metric_sums, positive_metric_sums, value_metric_sums
from trainer.algorithm.overlong import soft_overlong_punishment
from trainer.algorithm.policy_loss import (
    Surrogate,
    clipped_surrogate,
    sample_level_loss,
    score_surrogate,
    token_level_loss,
)
from trainer.algorithm.positive_example_loss import positive_example_loss
from trainer.algorithm.ragged import check_lengths, expand_rows, row_token_index
from trainer.algorithm.value_loss import value_loss
from trainer.algorithm.whitening import whiten
from vapo.settings import AlgorithmSettings
from vapo.settings.corrections import correction_facts
from vapo.settings.truncation import MASKING, PUNISHING, Truncation

Given = TypeVar("Given")


@dataclass(frozen=True)
class ScoredRows:
    """A rollout batch of B responses with N response tokens in all, rows laid end to end.

    ``values[i]`` is V of the state *before* token i, read at the position of the previous token.

    Raises:
        ValueError: an empty row, lengths that do not add up, a misshapen array.
        TypeError: ``correct`` or ``truncated`` is not bool.
    """

    lengths: Tensor
    """int64[B], response tokens of each row, the end-of-sequence token included; none 0."""
    rewards: Tensor
    """float[B], from the verifier, given at the last token."""
    correct: Tensor
    """bool[B], from the verdict, never from the reward."""
    truncated: Tensor
    """bool[B], cut at the length limit."""
    values: Tensor | None = None
    """float32 or float64[N]; None is allowed with estimator ``group`` only."""
    bootstrap_values: Tensor | None = None
    """float[B], V after the last token; read for truncated rows under ``bootstrap`` only."""
    group_ids: Tensor | None = None
    """int64[B], equal for responses to one prompt; needed by estimator ``group`` and by
    ``drop_uniform_groups``."""

    def __post_init__(self) -> None:
        tokens = int(self.lengths.sum()) if self.values is None else self.values.numel()
        check_lengths(self.lengths, tokens, "values")
        for name in ("rewards", "correct", "truncated", "bootstrap_values", "group_ids"):
            tensor, expected = getattr(self, name), list(self.lengths.shape)
            if tensor is not None and list(tensor.shape) != expected:
                raise ValueError(f"{name} has shape {list(tensor.shape)}; expected one per row, {expected}")
        for name in ("correct", "truncated"):
            if getattr(self, name).dtype != torch.bool:
                raise TypeError(
                    f"{name} is {getattr(self, name).dtype}; pass bool from the verdict "
                    "and the finish reason, not a reward or a count"
                )


@dataclass(frozen=True)
class LearningSignal:
    """What the losses need of N tokens, all constants. Shapes [N] except ``lengths``."""

    lengths: Tensor
    """int64[B]."""
    row_lengths: Tensor
    """int64, length of the row the token belongs to."""
    advantages: Tensor
    """float, Eq 3 with lambda_policy (or the group's)."""
    targets: Tensor
    """float, value targets: lambda-return with lambda_critic."""
    returns: Tensor
    """float, Monte-Carlo return of the row (what explained variance is measured against)."""
    policy_mask: Tensor
    """bool, tokens of the policy loss."""
    positive_mask: Tensor
    """bool, tokens of the positive-example loss."""
    value_mask: Tensor
    """bool, tokens of the value loss."""

    def select_rows(self, rows: Sequence[int] | Tensor) -> LearningSignal:
        """Of ``rows`` (b numbers) alone, in that order: of a mini- or micro-batch."""
        rows = torch.as_tensor(rows, dtype=torch.int64, device=self.lengths.device)
        index = row_token_index(self.lengths, rows)
        per_token = {field.name: getattr(self, field.name)[index] for field in fields(self) if field.name != "lengths"}
        return LearningSignal(lengths=self.lengths[rows], **per_token)


@dataclass(frozen=True)
class Objective:
    """``loss``: scalar with gradient, this micro-batch's share of the optimiser step's loss.
    ``metrics``: sums without gradient, see :mod:`trainer.algorithm.metrics`."""

    loss: Tensor
    metrics: MetricSums


def compute_advantages_and_targets(
    rows: ScoredRows, algorithm: AlgorithmSettings, max_new_tokens: int | None = None
) -> LearningSignal:
    """Advantages (Eq 3-5), value targets and masks of a rollout batch.

    Pass whole batches: whitening and group baselines look across rows.

    Args:
        rows: the batch.
        algorithm: the switches.
        max_new_tokens: L_max of DAPO Eq 13; needed where the truncation treatment punishes length.

    Raises:
        ValueError: an array, or the limit, is missing that the switches need.
    """
    rewards, final_values = outcomes(rows, algorithm, max_new_tokens)
    returns = expand_rows(rewards, rows.lengths)
    if algorithm.estimator == "gae":
        advantages, targets = _advantages_and_targets(rows, rewards, final_values, algorithm)
        in_value = ~(rows.truncated & (algorithm.truncation is Truncation.BOOTSTRAP))
    else:
        advantages, targets = _group_baseline(rows, rewards, algorithm), returns
        in_value = torch.zeros_like(rows.truncated)
    policy_mask = expand_rows(_policy_rows(rows, algorithm), rows.lengths)
    if algorithm.whiten_advantages:
        advantages = whiten(advantages, policy_mask)
    return LearningSignal(
        lengths=rows.lengths,
        row_lengths=expand_rows(rows.lengths, rows.lengths),
        advantages=advantages,
        targets=targets,
        returns=returns,
        policy_mask=policy_mask,
        positive_mask=expand_rows(_positive_rows(rows, algorithm), rows.lengths),
        value_mask=expand_rows(in_value, rows.lengths),
    )


def outcomes(
    rows: ScoredRows, algorithm: AlgorithmSettings, max_new_tokens: int | None = None
) -> tuple[Tensor, Tensor]:
    """Reward R and final value V_L of each row after the truncation treatment, float[B] each.

    V_L is 0 for every row that ended; only ``bootstrap`` gives a truncated one V of its last state,
    and takes its reward away. float64 stays float64; everything else is computed in float32.
    """
    source = rows.rewards if rows.values is None else rows.values
    rewards = rows.rewards.to(torch.float64 if source.dtype == torch.float64 else torch.float32)
    nothing = torch.zeros_like(rewards)
    if algorithm.truncation in PUNISHING:
        limit = _required("max_new_tokens", max_new_tokens, f"truncation {algorithm.truncation}")
        punishment = soft_overlong_punishment(rows.lengths, limit, algorithm.overlong_buffer_tokens)
        return rewards + punishment.to(rewards.dtype), nothing
    if algorithm.truncation is Truncation.BOOTSTRAP and bool(rows.truncated.any()):
        bootstrap = _required("bootstrap_values", rows.bootstrap_values, "truncation bootstrap")
        final_values = torch.where(rows.truncated, bootstrap.to(rewards.dtype), nothing)
        return torch.where(rows.truncated, nothing, rewards), final_values
    return rewards, nothing


def count_denominators(signal: LearningSignal) -> Denominators:
    """Denominators of an optimiser step that trains on the rows of ``signal``."""
    row_in_policy = signal.policy_mask[signal.lengths.cumsum(0) - 1]
    return Denominators(
        policy_tokens=float(signal.policy_mask.sum()),
        policy_rows=float(row_in_policy.sum()),
        positive_tokens=float(signal.positive_mask.sum()),
        value_tokens=float(signal.value_mask.sum()),
    )


def policy_objective(
    log_probs: Tensor,
    behaviour_log_probs: Tensor,
    proximal_log_probs: Tensor | None,
    signal: LearningSignal,
    denominators: Denominators,
    algorithm: AlgorithmSettings,
    entropies: Tensor | None = None,
) -> Objective:
    """Actor loss of one micro-batch of n tokens: L_PPO (Eq 7-8) + mu L_NLL (Eq 9), Eq 10.

    Args:
        log_probs: float[n], current policy, of the sampled tokens; carries the gradient.
        behaviour_log_probs: float[n], of the distribution really sampled from.
        proximal_log_probs: float[n], the trainer's own at the start of the rollout step. None means
            the current ones, which is right in the first optimiser step of a rollout step, and in
            later ones only with a correction that does not read them (the clip would never act).
        signal: of this micro-batch's rows, from :meth:`LearningSignal.select_rows`.
        denominators: of the whole optimiser step.
        algorithm: the switches.
        entropies: float[n], entropy of the policy at each token, for the bonus and for logging.

    Raises:
        ValueError: tensors of different lengths, or an entropy bonus without entropies.
    """
    current = log_probs.detach()
    behaviour = behaviour_log_probs.detach().to(current.dtype)
    proximal = current if proximal_log_probs is None else proximal_log_probs.detach().to(current.dtype)
    for name, given in (("current", current), ("proximal", proximal), ("behaviour", behaviour)):
        _same_size(f"{name} log-probs", given, signal)
    tokens = TokenLogProbs(current, proximal, behaviour, signal.lengths)
    correction = correct(algorithm.correction, tokens, algorithm.correction_bounds)
    surrogate = _surrogate(log_probs, correction, signal, algorithm)
    policy_loss = _policy_loss(surrogate, correction, signal, denominators, algorithm)
    positive_weights = _positive_weights(correction, signal, algorithm)
    imitation_loss = positive_example_loss(log_probs, positive_weights, denominators.positive_tokens)
    loss = policy_loss
    if algorithm.positive_example_weight > 0:
        loss = loss + algorithm.positive_example_weight * imitation_loss
    if algorithm.entropy_weight > 0:
        known = _required("entropies", entropies, "entropy_weight above 0")
        loss = loss - algorithm.entropy_weight * masked_mean(known, signal.policy_mask, denominators.policy_tokens)
    metrics = policy_metric_sums(
        tokens, surrogate, correction, signal.policy_mask, signal.advantages, entropies
    ) | positive_metric_sums(current, signal.positive_mask)
    metrics["policy/loss"] = policy_loss.detach().double()
    metrics["policy/positive_example_loss"] = imitation_loss.detach().double()
    metrics["policy/total_loss"] = loss.detach().double()
    return Objective(loss, metrics)


def value_objective(values: Tensor, signal: LearningSignal, denominators: Denominators) -> Objective:
    """Critic loss of one micro-batch of n tokens; ``values`` float[n] carries the gradient.

    Raises:
        ValueError: ``values`` and ``signal`` have different numbers of tokens.
    """
    _same_size("values", values, signal)
    loss = value_loss(values, signal.targets, signal.value_mask, denominators.value_tokens)
    metrics = value_metric_sums(values.detach(), signal.returns, signal.value_mask)
    metrics["value/loss"] = loss.detach().double()
    return Objective(loss, metrics)


def _advantages_and_targets(
    rows: ScoredRows, rewards: Tensor, final_values: Tensor, algorithm: AlgorithmSettings
) -> AdvantagesAndTargets:
    """Advantages with lambda_policy, targets with lambda_critic; not decoupled: one lambda."""
    values = _required("values", rows.values, "estimator gae").to(rewards.dtype)
    if algorithm.length_adaptive_lambda:
        lambda_policy = length_adaptive_lambda(rows.lengths, algorithm.alpha)
    else:
        lambda_policy = constant_lambda(rows.lengths, algorithm.lambda_policy)
    lambda_critic = lambda_policy
    if algorithm.decoupled_gae:
        lambda_critic = constant_lambda(rows.lengths, algorithm.lambda_critic)
    return decoupled_gae(values, rows.lengths, rewards, final_values, lambda_policy, lambda_critic)


def _group_baseline(rows: ScoredRows, rewards: Tensor, algorithm: AlgorithmSettings) -> Tensor:
    groups = _required("group_ids", rows.group_ids, "estimator group")
    per_row = group_advantages(rewards, groups, algorithm.group_standard_deviation)
    return expand_rows(per_row.to(rewards.dtype), rows.lengths)


def _policy_rows(rows: ScoredRows, algorithm: AlgorithmSettings) -> Tensor:
    """Rows of the policy loss, bool[B]."""
    chosen = ~rows.truncated if algorithm.truncation in MASKING else torch.ones_like(rows.truncated)
    if algorithm.drop_uniform_groups:
        groups = _required("group_ids", rows.group_ids, "drop_uniform_groups")
        chosen = chosen & ~uniform_groups(rows.correct, groups)
    return chosen


def _positive_rows(rows: ScoredRows, algorithm: AlgorithmSettings) -> Tensor:
    """T of Eq 9, bool[B]; without truncated rows where their end is not taken for an outcome."""
    if algorithm.truncation in (*MASKING, Truncation.BOOTSTRAP):
        return rows.correct & ~rows.truncated
    return rows.correct


def _surrogate(
    log_probs: Tensor, correction: Correction, signal: LearningSignal, algorithm: AlgorithmSettings
) -> Surrogate:
    anchor, advantages = correction.anchor, signal.advantages
    if correction_facts(algorithm.correction).clipped:
        clip_low, clip_high = correction.clip or (algorithm.clip_low, algorithm.clip_high)
        return clipped_surrogate(log_probs, anchor, advantages, clip_low, clip_high, algorithm.dual_clip)
    return score_surrogate(log_probs, anchor, advantages, algorithm.correction_bounds)


def _policy_loss(
    surrogate: Surrogate,
    correction: Correction,
    signal: LearningSignal,
    denominators: Denominators,
    algorithm: AlgorithmSettings,
) -> Tensor:
    weights = signal.policy_mask.to(surrogate.objective.dtype) * correction.weights
    if algorithm.token_level_loss:
        return token_level_loss(surrogate.objective, weights, denominators.policy_tokens)
    return sample_level_loss(surrogate.objective, weights, signal.row_lengths, denominators.policy_rows)


def _positive_weights(correction: Correction, signal: LearningSignal, algorithm: AlgorithmSettings) -> Tensor:
    """Weights of Eq 9, float[n]. Eq 9 has no ratio of its own to hold stale tokens back, so with
    ``correct_positive_examples`` it carries the policy loss's correction weight too."""
    weights = signal.positive_mask.to(correction.weights.dtype)
    if not algorithm.correct_positive_examples:
        return weights
    return weights * (correction.weights if correction.imitation_weights is None else correction.imitation_weights)


def _same_size(name: str, tensor: Tensor, signal: LearningSignal) -> None:
    if tensor.shape != signal.advantages.shape:
        raise ValueError(
            f"{name} have shape {list(tensor.shape)}, but the micro-batch has "
            f"{signal.advantages.numel()} response tokens; pass one per response token, flat"
        )


def _required(name: str, given: Given | None, why: str) -> Given:
    if given is None:
        raise ValueError(f"{name} is missing and {why} needs it; pass {name}")
    return given
