"""Rows of different lengths laid end to end in one flat tensor, and that layout's index arithmetic.

Invariants: a row is never empty; ``flat`` tensors have ``lengths.sum()`` elements in row order.
"""

from __future__ import annotations

import torch
from torch import Tensor


def check_lengths(lengths: Tensor, tokens: int, what: str) -> None:
    """Refuse lengths (int64[B]) that hold an empty row or do not add up to ``tokens``.

    Raises:
        ValueError: naming the first empty row, or both totals.
    """
    if lengths.dtype != torch.int64 or lengths.dim() != 1 or lengths.numel() == 0:
        raise ValueError(f"lengths must be a non-empty int64[B], not {lengths.dtype}{list(lengths.shape)}")
    if int(lengths.min()) < 1:
        row = int((lengths < 1).nonzero()[0])
        raise ValueError(
            f"row {row} has an empty response (length {int(lengths[row])}); "
            "an empty response has no action to train on, so leave the row out of the batch"
        )
    total = int(lengths.sum())
    if total != tokens:
        raise ValueError(
            f"lengths add up to {total} tokens but {what} has {tokens}; pass one element per response token"
        )


def expand_rows(per_row: Tensor, lengths: Tensor) -> Tensor:
    """Give every token its row's number: [B] -> [N]."""
    return per_row.repeat_interleave(lengths)


def sum_rows(flat: Tensor, lengths: Tensor) -> Tensor:
    """Sum over each row's tokens: [N] -> [B]."""
    row = expand_rows(torch.arange(lengths.numel(), device=lengths.device), lengths)
    return flat.new_zeros(lengths.numel()).index_add(0, row, flat)


def row_starts(lengths: Tensor) -> Tensor:
    """Index of each row's first token, int64[B]."""
    return lengths.cumsum(0) - lengths


def positions(lengths: Tensor) -> Tensor:
    """Place of each token in its own row, 0 first, int64[N]."""
    total = int(lengths.sum())
    return torch.arange(total, device=lengths.device) - expand_rows(row_starts(lengths), lengths)


def row_token_index(lengths: Tensor, rows: Tensor) -> Tensor:
    """Flat indices of all tokens of ``rows`` (int64[b]), in the order given, int64[n]."""
    chosen = lengths[rows]
    return expand_rows(row_starts(lengths)[rows], chosen) + positions(chosen)
