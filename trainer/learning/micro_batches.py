"""From rows of a batch to the forward passes of this rank, on its device.

Invariants:
- packing and ranks decide only which tokens meet in one forward pass, never what a token counts
  for;
- every rank gets equally many micro-batches, so that the collectives of sharded models meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.learning.batch import RolloutBatch
from trainer.ranks.parallel import Ranks, largest_over_ranks
from vapo.model.packing import Packed, pack_all
from vapo.settings import TrainerSettings


@dataclass(frozen=True)
class MicroBatch:
    """One forward pass: n rows, N response tokens, packed on R lines of W tokens."""

    input_ids: Tensor
    """int64[R, W]."""
    position_ids: Tensor
    """int64[R, W]."""
    state_index: Tensor
    """int64[N + n] flat index of the position that predicts each token, then of the last token."""
    action_index: Tensor
    """int64[N] flat index of the position that predicts each response token."""
    actions: Tensor
    """int64[N] response tokens."""
    rows: Tensor
    """int64[n] rows of the batch, in packed order."""
    lengths: Tensor
    """int64[n] response tokens of each."""
    tokens: Tensor
    """int64[N] where each response token lies in the batch's flat arrays."""
    temperatures: Tensor | None
    """float32[N], or None when all are 1."""


def micro_batches(batch: RolloutBatch, rows: Sequence[int], trainer: TrainerSettings, ranks: Ranks) -> list[MicroBatch]:
    """This rank's share of ``rows``, in micro-batches of at most ``trainer.token_budget`` tokens."""
    share = split_rows(rows, [sequence.length for sequence in batch.sequences], ranks.size)[ranks.rank]
    flat = trainer.attention == "flash_attention_2"  # its variable-length kernels want a single line
    packed = pack_all([batch.sequences[row] for row in share], trainer.token_budget, flat)
    own = [_micro_batch(batch, np.array([share[index] for index in one.sequences], np.int64), one) for one in packed]
    missing = largest_over_ranks(len(own), ranks) - len(own)
    return own + [idle_micro_batch(batch.device)] * missing


def split_rows(rows: Sequence[int], lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Share ``rows`` among ``parts`` ranks: longest first, each to the rank with fewest tokens.

    Args:
        rows: row numbers.
        lengths: tokens of every row of the batch, indexed by row number.
        parts: number of ranks.

    Returns:
        One list per rank, together a partition of ``rows``; the same on every rank.
    """
    shares: list[list[int]] = [[] for _ in range(parts)]
    loads = [0] * parts
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        least = loads.index(min(loads))
        shares[least].append(row)
        loads[least] += lengths[row]
    return shares


def idle_micro_batch(device: torch.device | str) -> MicroBatch:
    """One padding token and no row.

    A rank that has run out of rows does this forward and backward pass, whose loss is zero.
    """
    empty = torch.zeros(0, dtype=torch.int64, device=device)
    token = torch.zeros((1, 1), dtype=torch.int64, device=device)
    return MicroBatch(token, token, empty, empty, empty, empty, empty, empty, None)


def _micro_batch(batch: RolloutBatch, rows: npt.NDArray[np.int64], packed: Packed) -> MicroBatch:
    def place(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(batch.device)

    temperatures = np.array([batch.rows[row].temperature for row in rows], np.float32)
    return MicroBatch(
        input_ids=place(packed.input_ids),
        position_ids=place(packed.position_ids),
        state_index=place(packed.state_index),
        action_index=place(packed.action_index),
        actions=place(packed.actions),
        rows=place(rows),
        lengths=place(packed.response_lengths),
        tokens=batch.tokens_of(rows),
        temperatures=None if (temperatures == 1).all() else place(temperatures.repeat(packed.response_lengths)),
    )
