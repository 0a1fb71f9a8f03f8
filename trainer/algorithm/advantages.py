"""Generalised advantage estimation over ragged rows, Eq 3, in one compiled pass.

With gamma = 1 and one reward R at the end of a row, Eq 3,

    A_t = sum_l lambda^l delta_{t+l},    delta_t = r_t + V_{t+1} - V_t,

is the lambda-return less the value, A_t = G_t - V_t, where

    G_{L-1} = R + V_L,    G_t = (1 - lambda) V_{t+1} + lambda G_{t+1}.

G is what is computed: at lambda = 1 it is R exactly, whatever the critic says, and it serves as the
value target without adding an advantage back to V.

Invariants:
- V_L, the value after the last token, is the caller's ``final_values`` and nothing else; it is 0
  for a row that ended. A row is walked from its last token to its first and nothing is padded, so
  neither another row nor padding can enter;
- targets and advantages are two recursions, each with its own lambda (decoupled GAE);
- sums are carried in float64 and rounded once, into the dtype of the values.

The recursion is inherently sequential, so it is compiled (numba) and runs on the CPU. Values that
lie on a GPU are copied there and back: a few bytes per token beside a training step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

from trainer.algorithm.ragged import check_lengths

FloatArray = npt.NDArray[np.float64] | npt.NDArray[np.float32]


class AdvantagesAndTargets(NamedTuple):
    """Both of dtype and device of the values, [N]."""

    advantages: Tensor
    """A_t of Eq 3 with lambda_policy."""
    targets: Tensor
    """G_t with lambda_critic: what the critic is to learn."""


def decoupled_gae(
    values: Tensor, lengths: Tensor, rewards: Tensor, final_values: Tensor, lambda_policy: Tensor, lambda_critic: Tensor
) -> AdvantagesAndTargets:
    """Advantages and value targets of every token (section 4.1: each with its own lambda).

    Args:
        values: float32 or float64[N], V of the state before each token.
        lengths: int64[B], tokens of each row, none empty.
        rewards: float[B], R, given at the row's last token.
        final_values: float[B], V_L: 0 where the row ended, the bootstrap value where it was cut
            and is to be bootstrapped.
        lambda_policy: float[B] in [0, 1].
        lambda_critic: float[B] in [0, 1].

    Raises:
        ValueError: an empty row, or lengths that do not add up to N.
    """
    check_lengths(lengths, values.numel(), "values")
    known = values.detach().cpu().contiguous()
    result = AdvantagesAndTargets(torch.empty_like(known), torch.empty_like(known))
    _walk_rows_backwards(
        known.numpy(),
        lengths.cpu().numpy(),
        _float64(rewards + final_values),
        _float64(lambda_policy),
        _float64(lambda_critic),
        result.advantages.numpy(),
        result.targets.numpy(),
    )
    return AdvantagesAndTargets(*(tensor.to(values.device) for tensor in result))


def _float64(tensor: Tensor) -> npt.NDArray[np.float64]:
    array: npt.NDArray[np.float64] = tensor.detach().to("cpu", torch.float64).numpy()
    return array


# "contract" lets a multiplication and an addition become one instruction that rounds once; nothing
# else of floating-point arithmetic is relaxed. It more than doubles the speed. The machine code is
# not cached on disk: compiling takes half a second, and a cache wants a writable folder.
@njit(fastmath={"contract"})  # type: ignore[untyped-decorator, unused-ignore]
def _walk_rows_backwards(
    values: FloatArray,
    lengths: npt.NDArray[np.int64],
    outcomes: npt.NDArray[np.float64],
    lambda_policy: npt.NDArray[np.float64],
    lambda_critic: npt.NDArray[np.float64],
    advantages: FloatArray,
    targets: FloatArray,
) -> None:
    """Fill ``advantages`` and ``targets`` ([N]); ``outcomes`` ([B]) are R + V_L."""
    end = 0
    for row in range(lengths.size):
        start, end = end, end + lengths[row]
        policy, critic = lambda_policy[row], lambda_critic[row]
        policy_return = critic_return = outcomes[row]
        for t in range(end - 1, start - 1, -1):
            value = np.float64(values[t])
            advantages[t] = policy_return - value
            targets[t] = critic_return
            policy_return = (1.0 - policy) * value + policy * policy_return
            critic_return = (1.0 - critic) * value + critic * critic_return
