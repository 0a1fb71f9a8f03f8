"""What rank 0 tells the other ranks: the next thing to do, and the rows to do it with.

Invariant: msgpack with raw arrays, never a pickle; every rank decodes the same bytes, so every rank
holds the same batch.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgpack
import numpy as np

from trainer.learning.batch import TrainingRow
from trainer.ranks.parallel import Ranks, broadcast_bytes
from vapo.messages import VersionSpan

ARRAYS = {"prompt_token_ids": "<i4", "response_token_ids": "<i4", "behaviour_log_probs": "<f4", "values": "<f4"}
"""Fields of a row that travel as raw bytes, and their type."""


class Action(StrEnum):
    """What all ranks do next."""

    PRETRAIN = "pretrain"
    """Train the critic alone on the rows."""
    TRAIN = "train"
    """Train actor and critic on the rows."""
    WAIT = "wait"
    """Nothing yet; ask again. Keeps the other ranks from giving rank 0 up during a long pause."""
    CHECKPOINT = "checkpoint"
    STOP = "stop"
    """Write a last checkpoint and end."""


@dataclass(frozen=True)
class Order:
    """One action, with its rows where it has any."""

    action: Action
    rows: tuple[TrainingRow, ...] = ()


def share_order(order: Order | None, ranks: Ranks) -> Order:
    """Rank 0's order, on every rank; the others pass None."""
    if order is not None and not ranks.sharded:
        return order
    return decode_order(broadcast_bytes(encode_order(order) if order else None, ranks))


def encode_order(order: Order) -> bytes:
    """Wire form of an order."""
    return msgpack.packb([str(order.action), [_pack(row) for row in order.rows]])


def decode_order(data: bytes) -> Order:
    """Inverse of :func:`encode_order`."""
    action, rows = msgpack.unpackb(data, max_bin_len=len(data), max_array_len=len(data))
    return Order(Action(action), tuple(_unpack(row) for row in rows))


def _pack(row: TrainingRow) -> dict[str, Any]:
    fields = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    for name, dtype in ARRAYS.items():
        if fields[name] is not None:
            fields[name] = fields[name].astype(dtype, copy=False).tobytes()
    return {**fields, "version_spans": [dataclasses.astuple(span) for span in row.version_spans]}


def _unpack(fields: dict[str, Any]) -> TrainingRow:
    arrays = {name: np.frombuffer(fields[name], ARRAYS[name]) for name in ARRAYS if fields[name] is not None}
    return TrainingRow(**fields | arrays | {"version_spans": tuple(VersionSpan(*s) for s in fields["version_spans"])})
