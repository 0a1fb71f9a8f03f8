"""Past actor weights in host memory, to score tokens with the very weights that sampled them.

In an asynchronous run a batch seldom holds tokens of the trainer's own version, so behaviour and
proximal log-probs differ by policy lag and by engine mismatch at once. Scoring a few rows with the
weights of *their* version leaves the mismatch alone (snapshot-based version tracking, arXiv
2605.12070).

Invariants:
- a snapshot has the type in which weights are published, so it is what the generator loaded;
- the actor holds exactly its own weights again when :meth:`WeightSnapshots.held` is left;
- each rank keeps its own shard, and no gathered copy of other weights outlives a swap.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor


class WeightSnapshots:
    """This rank's shards of the newest versions."""

    def __init__(self, limit: int, dtype: torch.dtype) -> None:
        """Keep the ``limit`` newest versions (0: none) in ``dtype``."""
        self._limit = limit
        self._dtype = dtype
        self._kept: dict[int, list[Tensor]] = {}

    @property
    def versions(self) -> tuple[int, ...]:
        """Versions at hand, oldest first."""
        return tuple(sorted(self._kept))

    def keep(self, version: int, model: nn.Module) -> None:
        """Copy the weights that ``model`` holds now as ``version``; the oldest one goes."""
        if self._limit == 0:
            return
        _drop_gathered_weights(model)
        self._kept[version] = [
            _shard(parameter).detach().to("cpu", self._dtype, copy=True) for parameter in model.parameters()
        ]
        for old in self.versions[: -self._limit]:
            del self._kept[old]

    @contextmanager
    def held(self, version: int, model: nn.Module) -> Iterator[None]:
        """Within the block ``model`` has the weights of ``version``.

        Raises:
            KeyError: that version is not at hand.
        """
        kept = self._kept[version]
        _drop_gathered_weights(model)
        own = [_shard(parameter).detach().clone() for parameter in model.parameters()]
        try:
            _assign(model, kept)
            yield
        finally:
            _drop_gathered_weights(model)
            _assign(model, own)


@torch.no_grad()
def _assign(model: nn.Module, shards: list[Tensor]) -> None:
    for parameter, shard in zip(model.parameters(), shards, strict=True):
        _shard(parameter).copy_(shard)


def _shard(parameter: Tensor) -> Tensor:
    """This rank's part of a parameter, sharing its storage."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def _drop_gathered_weights(model: nn.Module) -> None:
    """The outermost sharded group stays gathered after a forward pass without a backward pass."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
