"""Generalised advantage estimation over ragged rows, Eq 3, without a Python step per token.

With gamma = 1 and one reward R at the end of a row, Eq 3,

    A_t = sum_l lambda^l delta_{t+l},    delta_t = r_t + V_{t+1} - V_t,

is the lambda-return less the value, A_t = G_t - V_t, where

    G_{L-1} = R + V_L,    G_t = (1 - lambda) V_{t+1} + lambda G_{t+1}.

G is what is computed here: at lambda = 1 it is R exactly, whatever the critic says, and it serves
as the value target without adding an advantage back to V.

Invariants:
- V_L, the value after the last token, is the caller's ``final_values`` and nothing else; it is 0
  for a row that ended. Rows are aligned at their last token and information flows only from right
  to left, so neither another row nor padding can enter;
- targets and advantages are two separate passes, each with its own lambda (decoupled GAE).
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.algorithm.ragged import check_lengths, pad_left, unpad_left

CHUNK = 32
"""Tokens per matrix product: work grows with it, the depth of the scan falls."""


def lambda_returns(
    values: Tensor, lengths: Tensor, rewards: Tensor, final_values: Tensor, lambdas: Tensor
) -> Tensor:
    """G_t of every token, the value targets for lambda = lambda_critic.

    Args:
        values: float32 or float64[N], V of the state before each token.
        lengths: int64[B], tokens of each row, none empty.
        rewards: float[B], R, given at the row's last token.
        final_values: float[B], V_L: 0 where the row ended, the bootstrap value where it was cut
            and is to be bootstrapped.
        lambdas: float[B] in [0, 1].

    Returns:
        [N] of the dtype of ``values``.

    Raises:
        ValueError: an empty row, or lengths that do not add up to N.
    """
    check_lengths(lengths, values.numel(), "values")
    outcomes = (rewards + final_values).to(values.dtype)
    if bool((lambdas == 1).all()):
        return outcomes.repeat_interleave(lengths)
    sizes = lengths.tolist()
    # The column of token t is to hold (1 - lambda) V_{t+1}, hence the shift; the last one G_{L-1}.
    steps = pad_left(torch.roll(values, -1), sizes)
    steps.mul_((1.0 - lambdas).to(values.dtype)[:, None])
    steps[:, -1] = outcomes
    return unpad_left(discounted_suffix_sums(steps, lambdas), sizes)


def advantages_from_returns(returns: Tensor, values: Tensor) -> Tensor:
    """A_t = G_t - V_t, [N]; Eq 3 when ``returns`` are the lambda-returns of the same values."""
    return returns - values


def generalised_advantages(
    values: Tensor, lengths: Tensor, rewards: Tensor, final_values: Tensor, lambdas: Tensor
) -> Tensor:
    """A_t of Eq 3 for every token, [N]; arguments and errors as :func:`lambda_returns`."""
    returns = lambda_returns(values, lengths, rewards, final_values, lambdas)
    return advantages_from_returns(returns, values)


def discounted_suffix_sums(steps: Tensor, discounts: Tensor, chunk: int = CHUNK) -> Tensor:
    """y[:, t] = steps[:, t] + discount * y[:, t + 1] for all t, by matrix products over chunks.

    Inside a chunk y is ``steps`` times a triangular matrix of powers of the row's discount. What
    crosses chunk borders is the same recursion with discount**chunk over the chunks' first
    elements, so the function calls itself on a sequence ``chunk`` times shorter.

    Args:
        steps: float[B, T].
        discounts: float[B], in [0, 1].
        chunk: tokens per matrix product, at least 2.

    Returns:
        [B, T] of the dtype of ``steps``.
    """
    rows, width = steps.shape
    exponents = torch.arange(chunk + 1, device=steps.device)
    powers = discounts.to(torch.float64)[:, None] ** exponents
    missing = -width % chunk
    chunks = torch.nn.functional.pad(steps, (missing, 0)).view(rows, -1, chunk)
    sums = torch.bmm(chunks, _triangle_of_powers(powers[:, :-1]).to(steps.dtype))
    if chunks.shape[1] > 1:
        heads = sums[:, :, 0].contiguous()
        entering = discounted_suffix_sums(heads, powers[:, -1], chunk)[:, 1:]
        decay = powers.flip(1)[:, :-1].to(steps.dtype)
        sums[:, :-1].addcmul_(entering[:, :, None], decay[:, None, :])
    return sums.view(rows, -1)[:, missing:]


def _triangle_of_powers(powers: Tensor) -> Tensor:
    """M[b, j, k] = powers[b, j - k] for j >= k, else 0: [B, C] -> [B, C, C]."""
    index = torch.arange(powers.shape[1], device=powers.device)
    distance = index[:, None] - index[None, :]
    return powers[:, distance.clamp(min=0)] * (distance >= 0)
