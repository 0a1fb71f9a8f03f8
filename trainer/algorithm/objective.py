"""VAPO in three steps, to be read from top to bottom beside the paper (arXiv 2504.05118).

1. :func:`compute_advantages_and_targets` once per rollout batch, before the critic or the actor
   learns from it (a critic that has seen a row's return is no longer its baseline);
2. :func:`count_denominators` once per optimiser step, added up over ranks;
3. :func:`policy_objective` and :func:`value_objective` once per micro-batch.

Invariants:
- losses of micro-batches add up to the loss of the optimiser step, however it is split over
  micro-batches and ranks. (Data parallelism that *averages* gradients over W ranks needs the loss
  times W.);
- gradient flows through the current log-probs and the current values only;
- with an empty denominator a loss is exactly 0 and still has a gradient (of zeros).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from trainer.algorithm.advantages import AdvantagesAndTargets, decoupled_gae
from trainer.algorithm.corrections import Correction, TokenLogProbs, correct
from trainer.algorithm.denominators import Denominators, masked_mean
from trainer.algorithm.group_advantages import group_advantages, uniform_groups
from trainer.algorithm.lambdas import constant_lambda, length_adaptive_lambda
from trainer.algorithm.metrics import MetricSums, policy_metric_sums, positive_metric_sums, value_metric_sums
from trainer.algorithm.options import Options
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
from vapo.settings.corrections import correction_facts
from vapo.settings.truncation import MASKING, PUNISHING, Truncation


@dataclass(frozen=True)
class RowBatch:
    """A rollout batch of B responses with N response tokens in all, rows laid end to end.

    ``values[i]`` is V of the state *before* token i, read at the position of the previous token.
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


@dataclass(frozen=True)
class AdvantageBatch:
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

    def select_rows(self, rows: Tensor) -> AdvantageBatch:
        """The batch of ``rows`` (int64[b]) alone, in that order: a mini- or micro-batch."""
        index = row_token_index(self.lengths, rows)
        per_token = {field.name: getattr(self, field.name)[index] for field in fields(self) if field.name != "lengths"}
        return AdvantageBatch(lengths=self.lengths[rows], **per_token)

    def to(self, device: torch.device | str) -> AdvantageBatch:
        """The same on another device."""
        return AdvantageBatch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class Objective:
    """``loss``: scalar with gradient, this micro-batch's share of the optimiser step's loss.
    ``metrics``: sums without gradient, see :mod:`trainer.algorithm.metrics`."""

    loss: Tensor
    metrics: MetricSums


def compute_advantages_and_targets(batch: RowBatch, options: Options) -> AdvantageBatch:
    """Advantages (Eq 3-5), value targets and masks of a rollout batch.

    Pass whole batches: whitening and group baselines look across rows.

    Raises:
        ValueError: an empty row, lengths that do not add up, a missing or misshapen array.
        TypeError: ``correct`` or ``truncated`` is not bool.
    """
    _check(batch, options)
    rewards, final_values = outcomes(batch, options)
    bootstrapped = batch.truncated & (options.truncation is Truncation.BOOTSTRAP)
    in_policy = _policy_rows(batch, options)
    returns = expand_rows(rewards, batch.lengths)
    if options.estimator == "gae":
        advantages, targets = _advantages_and_targets(batch, rewards, final_values, options)
        in_value = ~bootstrapped
    else:
        advantages, targets = _group_baseline(batch, rewards, options), returns
        in_value = torch.zeros_like(batch.truncated)
    policy_mask = expand_rows(in_policy, batch.lengths)
    if options.whiten_advantages:
        advantages = whiten(advantages, policy_mask)
    return AdvantageBatch(
        lengths=batch.lengths,
        row_lengths=expand_rows(batch.lengths, batch.lengths),
        advantages=advantages,
        targets=targets,
        returns=returns,
        policy_mask=policy_mask,
        positive_mask=expand_rows(_positive_rows(batch, options), batch.lengths),
        value_mask=expand_rows(in_value, batch.lengths),
    )


def outcomes(batch: RowBatch, options: Options) -> tuple[Tensor, Tensor]:
    """Reward R and final value V_L of each row after the truncation treatment, float[B] each.

    V_L is 0 for every row that ended; only ``bootstrap`` gives a truncated one V of its last state,
    and takes its reward away.
    """
    rewards = batch.rewards.to(_float_dtype(batch))
    nothing = torch.zeros_like(rewards)
    if options.truncation in PUNISHING:
        limit = options.max_response_tokens or 0  # Options refuses these without a limit
        punishment = soft_overlong_punishment(batch.lengths, limit, options.overlong_buffer_tokens)
        return rewards + punishment.to(rewards.dtype), nothing
    if options.truncation is Truncation.BOOTSTRAP and batch.bootstrap_values is not None:
        bootstrap = batch.bootstrap_values.to(rewards.dtype)
        return (torch.where(batch.truncated, nothing, rewards), torch.where(batch.truncated, bootstrap, nothing))
    return rewards, nothing


def count_denominators(batch: AdvantageBatch) -> Denominators:
    """Denominators of an optimiser step that trains on the rows of ``batch``."""
    row_in_policy = batch.policy_mask[batch.lengths.cumsum(0) - 1]
    return Denominators(
        policy_tokens=float(batch.policy_mask.sum()),
        policy_rows=float(row_in_policy.sum()),
        positive_tokens=float(batch.positive_mask.sum()),
        value_tokens=float(batch.value_mask.sum()),
    )


def policy_objective(
    log_probs: Tensor,
    behaviour_log_probs: Tensor,
    proximal_log_probs: Tensor | None,
    batch: AdvantageBatch,
    denominators: Denominators,
    options: Options,
    entropies: Tensor | None = None,
) -> Objective:
    """Actor loss of one micro-batch of n tokens: L_PPO (Eq 7-8) + mu L_NLL (Eq 9), Eq 10.

    Args:
        log_probs: float[n], current policy, of the sampled tokens; carries the gradient.
        behaviour_log_probs: float[n], of the distribution really sampled from.
        proximal_log_probs: float[n], the trainer's own at the start of the rollout step. None means
            the current ones, which is right in the first optimiser step of a rollout step, and in
            later ones only with a correction that does not read them (the clip would never act).
        batch: this micro-batch's rows, from :meth:`AdvantageBatch.select_rows`.
        denominators: of the whole optimiser step.
        options: the switches.
        entropies: float[n], entropy of the policy at each token, for the bonus and for logging.

    Raises:
        ValueError: tensors of different lengths, or an entropy bonus without entropies.
    """
    tokens = _check_token_tensors(log_probs, behaviour_log_probs, proximal_log_probs, batch)
    correction = correct(options.correction, tokens, options.correction_bounds)
    surrogate = _surrogate(log_probs, correction, batch, options)
    policy_loss = _policy_loss(surrogate, correction, batch, denominators, options)
    positive_weights = batch.positive_mask.to(log_probs.dtype)
    if options.correct_positive_examples:
        imitation = correction.imitation_weights
        positive_weights = positive_weights * (correction.weights if imitation is None else imitation)
    imitation_loss = positive_example_loss(log_probs, positive_weights, denominators.positive_tokens)
    loss = policy_loss
    if options.positive_example_weight > 0:
        loss = loss + options.positive_example_weight * imitation_loss
    if options.entropy_weight > 0:
        loss = loss - options.entropy_weight * _mean_entropy(entropies, batch, denominators)
    metrics = policy_metric_sums(
        tokens, surrogate, correction, batch.policy_mask, batch.advantages, entropies
    ) | positive_metric_sums(tokens.current, batch.positive_mask)
    metrics["policy/loss"] = policy_loss.detach().double()
    metrics["policy/positive_example_loss"] = imitation_loss.detach().double()
    metrics["policy/total_loss"] = loss.detach().double()
    return Objective(loss, metrics)


def value_objective(values: Tensor, batch: AdvantageBatch, denominators: Denominators) -> Objective:
    """Critic loss of one micro-batch of n tokens; ``values`` float[n] carries the gradient.

    Raises:
        ValueError: ``values`` and ``batch`` have different numbers of tokens.
    """
    _same_size("values", values, batch)
    loss = value_loss(values, batch.targets, batch.value_mask, denominators.value_tokens)
    metrics = value_metric_sums(values.detach(), batch.returns, batch.value_mask)
    metrics["value/loss"] = loss.detach().double()
    return Objective(loss, metrics)


def _advantages_and_targets(
    batch: RowBatch, rewards: Tensor, final_values: Tensor, options: Options
) -> AdvantagesAndTargets:
    """Advantages with lambda_policy, targets with lambda_critic; not decoupled: one lambda."""
    values = _required("values", batch.values, "estimator gae").to(rewards.dtype)
    lambda_policy = _lambda_policy(batch.lengths, options)
    lambda_critic = lambda_policy
    if options.decoupled_gae:
        lambda_critic = constant_lambda(batch.lengths, options.lambda_critic)
    return decoupled_gae(values, batch.lengths, rewards, final_values, lambda_policy, lambda_critic)


def _lambda_policy(lengths: Tensor, options: Options) -> Tensor:
    if options.length_adaptive_lambda:
        return length_adaptive_lambda(lengths, options.alpha)
    return constant_lambda(lengths, options.lambda_policy)


def _group_baseline(batch: RowBatch, rewards: Tensor, options: Options) -> Tensor:
    groups = _required("group_ids", batch.group_ids, "estimator group")
    per_row = group_advantages(rewards, groups, options.group_standard_deviation)
    return expand_rows(per_row.to(rewards.dtype), batch.lengths)


def _policy_rows(batch: RowBatch, options: Options) -> Tensor:
    """Rows of the policy loss, bool[B]."""
    rows = torch.ones_like(batch.truncated)
    if options.truncation in MASKING:
        rows = ~batch.truncated
    if options.drop_uniform_groups:
        groups = _required("group_ids", batch.group_ids, "drop_uniform_groups")
        rows = rows & ~uniform_groups(batch.correct, groups)
    return rows


def _positive_rows(batch: RowBatch, options: Options) -> Tensor:
    """T of Eq 9, bool[B]; without truncated rows where their end is not taken for an outcome."""
    if options.truncation in (*MASKING, Truncation.BOOTSTRAP):
        return batch.correct & ~batch.truncated
    return batch.correct.clone()


def _surrogate(log_probs: Tensor, correction: Correction, batch: AdvantageBatch, options: Options) -> Surrogate:
    if correction_facts(options.correction).clipped:
        clip_low, clip_high = correction.clip or (options.clip_low, options.clip_high)
        return clipped_surrogate(log_probs, correction.anchor, batch.advantages, clip_low, clip_high, options.dual_clip)
    return score_surrogate(log_probs, correction.anchor, batch.advantages, options.correction_bounds)


def _policy_loss(
    surrogate: Surrogate, correction: Correction, batch: AdvantageBatch, denominators: Denominators, options: Options
) -> Tensor:
    weights = batch.policy_mask.to(surrogate.objective.dtype) * correction.weights
    if options.token_level_loss:
        return token_level_loss(surrogate.objective, weights, denominators.policy_tokens)
    return sample_level_loss(surrogate.objective, weights, batch.row_lengths, denominators.policy_rows)


def _mean_entropy(entropies: Tensor | None, batch: AdvantageBatch, denominators: Denominators) -> Tensor:
    known = _required("entropies", entropies, "entropy_weight above 0")
    return masked_mean(known, batch.policy_mask, denominators.policy_tokens)


def _check_token_tensors(
    log_probs: Tensor, behaviour: Tensor, proximal: Tensor | None, batch: AdvantageBatch
) -> TokenLogProbs:
    current = log_probs.detach()
    tokens = TokenLogProbs(
        current=current,
        proximal=current if proximal is None else proximal.detach().to(current.dtype),
        behaviour=behaviour.detach().to(current.dtype),
        lengths=batch.lengths,
    )
    for name in ("current", "proximal", "behaviour"):
        _same_size(f"{name} log-probs", getattr(tokens, name), batch)
    return tokens


def _same_size(name: str, tensor: Tensor, batch: AdvantageBatch) -> None:
    if tensor.shape != batch.advantages.shape:
        raise ValueError(
            f"{name} have shape {list(tensor.shape)}, but the micro-batch has "
            f"{batch.advantages.numel()} response tokens; pass one per response token, flat"
        )


def _required(name: str, tensor: Tensor | None, why: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"{name} is missing and {why} needs it; pass {name}")
    return tensor


def _float_dtype(batch: RowBatch) -> torch.dtype:
    """float64 stays float64; everything else is computed in float32."""
    source = batch.rewards if batch.values is None else batch.values
    return torch.float64 if source.dtype == torch.float64 else torch.float32


def _check(batch: RowBatch, options: Options) -> None:
    rows = batch.lengths.shape
    tokens = int(batch.lengths.sum()) if batch.values is None else batch.values.numel()
    check_lengths(batch.lengths, tokens, "values")
    for name in ("rewards", "correct", "truncated", "bootstrap_values", "group_ids"):
        tensor = getattr(batch, name)
        if tensor is not None and tensor.shape != rows:
            raise ValueError(f"{name} has shape {list(tensor.shape)}; expected one per row, {list(rows)}")
    for name in ("correct", "truncated"):
        if getattr(batch, name).dtype != torch.bool:
            raise TypeError(
                f"{name} is {getattr(batch, name).dtype}; pass bool from the verdict "
                "and the finish reason, not a reward or a count"
            )
    if options.truncation is Truncation.BOOTSTRAP and bool(batch.truncated.any()):
        _required("bootstrap_values", batch.bootstrap_values, "truncation bootstrap")
