"""The trainer's ranks and their few collectives.

Invariants:
- every rank holds the same rollout batch and computes a share of its rows;
- one rank needs no process group, and then nothing here communicates;
- what ranks send one another is tensors and bytes, never pickles.

Started by ``torchrun`` (elastic); gloo on CPU, nccl on CUDA.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from vapo.model.devices import DeviceChoice, choose_device


@dataclass(frozen=True)
class Ranks:
    """This process's place among the trainer's processes."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Rank 0 alone talks to the ledger, writes files and serves HTTP."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether models are sharded over several ranks."""
        return self.size > 1

    def precision(self) -> AbstractContextManager[object]:
        """What models compute in: bfloat16 by autocast on CUDA, nothing on the CPU; sharded models
        bring their own mixed precision (:mod:`trainer.learning.sharding`)."""
        if self.device.type != "cuda" or self.sharded:
            return nullcontext()
        return torch.autocast("cuda", dtype=torch.bfloat16)

    @property
    def loading_device(self) -> torch.device:
        """Where to load a model. Sharding moves it layer by layer, so that no rank's device ever
        holds it whole."""
        return torch.device("cpu") if self.sharded else self.device


def join_ranks(
    deadline: timedelta = timedelta(minutes=30),
    environment: Mapping[str, str] | None = None,
    device_choice: DeviceChoice = "auto",
) -> Ranks:
    """This process's rank from torchrun's variables; joins the process group if there are several.

    Args:
        deadline: a rank that waits this long for another gives up. Ranks wait in a collective while
            rank 0 waits for rollouts, so it must be longer than that wait may be.
        environment: variables to read; the process's by default.
        device_choice: the setting ``trainer.device``.

    Raises:
        DeviceError: a GPU is promised and not there.
    """
    variables = os.environ if environment is None else environment
    size = int(variables.get("WORLD_SIZE", "1"))
    rank = int(variables.get("RANK", "0"))
    device = choose_device("trainer.device", device_choice, int(variables.get("LOCAL_RANK", "0")))
    if size > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=deadline)
    return Ranks(rank, size, device)


def leave_ranks(ranks: Ranks) -> None:
    """Leave the process group, if there is one."""
    if ranks.sharded:
        dist.destroy_process_group()


def sum_over_ranks(tensor: Tensor, ranks: Ranks) -> Tensor:
    """Element-wise sum over ranks, in place."""
    if ranks.sharded:
        dist.all_reduce(tensor, dist.ReduceOp.SUM)
    return tensor


def largest_over_ranks(number: int, ranks: Ranks) -> int:
    """The largest ``number`` any rank has."""
    if not ranks.sharded:
        return number
    tensor = torch.tensor([number], dtype=torch.int64, device=ranks.device)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return int(tensor)


def broadcast_bytes(data: bytes | None, ranks: Ranks) -> bytes:
    """Rank 0's ``data`` on every rank; the others pass None."""
    if data is not None and not ranks.sharded:
        return data
    size = largest_over_ranks(len(data) if data is not None else 0, ranks)
    buffer = torch.empty(size, dtype=torch.uint8, device=ranks.device)
    if data is not None:
        buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    dist.broadcast(buffer, src=0)
    return buffer.cpu().numpy().tobytes()


def share_number(number: int | None, ranks: Ranks) -> int:
    """Rank 0's number, on every rank; the others pass None."""
    return int(broadcast_bytes(None if number is None else str(number).encode(), ranks))
