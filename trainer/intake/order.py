"""What rank 0 tells the other ranks: the next thing to do, and the rows to do it with.

Invariant: msgpack with raw arrays, never a pickle; every rank decodes the same bytes, so every rank
holds the same batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgpack
import numpy as np

from trainer.learning.batch import TrainingRow
from trainer.ranks.parallel import Ranks, broadcast_bytes
from vapo.messages import VersionSpan


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


def _pack(row: TrainingRow) -> list[Any]:
    return [
        row.rollout_id,
        row.task_id,
        _bytes(row.prompt_token_ids, "<i4"),
        _bytes(row.response_token_ids, "<i4"),
        _bytes(row.behaviour_log_probs, "<f4"),
        [[span.version, span.start, span.end] for span in row.version_spans],
        row.reward,
        row.correct,
        row.truncated,
        None if row.values is None else _bytes(row.values, "<f4"),
        row.critic_version,
        row.temperature,
    ]


def _unpack(fields: Sequence[Any]) -> TrainingRow:
    (
        rollout_id,
        task_id,
        prompt,
        response,
        behaviour,
        spans,
        reward,
        correct,
        truncated,
        values,
        critic_version,
        temperature,
    ) = fields
    return TrainingRow(
        rollout_id,
        task_id,
        np.frombuffer(prompt, "<i4"),
        np.frombuffer(response, "<i4"),
        np.frombuffer(behaviour, "<f4"),
        tuple(VersionSpan(*span) for span in spans),
        reward,
        correct,
        truncated,
        None if values is None else np.frombuffer(values, "<f4"),
        critic_version,
        temperature,
    )


def _bytes(array: np.ndarray[Any, Any], dtype: str) -> bytes:
    return array.astype(dtype, copy=False).tobytes()
