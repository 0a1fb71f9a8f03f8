"""A safetensors file that only rank 0 can see, read by all ranks.

Invariants: no rank but the first touches the disk, so hosts need share none; one tensor is in
flight at a time, so nobody holds the file whole; every rank must look up the same tensors in the
same order, since each look-up is a broadcast.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor

from trainer.ranks.parallel import Ranks, broadcast_bytes


class SharedFile(Mapping[str, Tensor]):
    """Name to whole tensor, on the CPU; a context manager."""

    def __init__(self, path: Path | None, ranks: Ranks) -> None:
        """``path`` is rank 0's; the others pass None."""
        self._ranks = ranks
        self._file: Any = None if path is None else safe_open(str(path), framework="pt")
        header = None if path is None else json.dumps(self._describe()).encode()
        self._header: dict[str, tuple[str, list[int]]] = json.loads(broadcast_bytes(header, ranks))

    def __enter__(self) -> SharedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[str]:
        return iter(self._header)

    def __len__(self) -> int:
        return len(self._header)

    def __contains__(self, name: object) -> bool:
        # Mapping's own would look the tensor up, which is a broadcast.
        return name in self._header

    def __getitem__(self, name: str) -> Tensor:
        dtype, shape = self._header[name]
        if self._file is not None:
            whole: Tensor = self._file.get_tensor(name)
        else:
            whole = torch.empty(shape, dtype=getattr(torch, dtype))
        if not self._ranks.sharded:
            return whole
        # Bytes: gloo and nccl do not know the same types.
        sent = whole.contiguous().reshape(-1).view(torch.uint8).to(self._ranks.device)
        dist.broadcast(sent, src=0)
        return sent.cpu().view(whole.dtype).reshape(shape)

    def _describe(self) -> dict[str, tuple[str, list[int]]]:
        described = {}
        for name in self._file.keys():  # noqa: SIM118 - not a mapping
            tensor = self._file.get_tensor(name)
            described[name] = (str(tensor.dtype).removeprefix("torch."), list(tensor.shape))
        return described
