"""Where a run stands: what the loop counts, the coordinator goes by and a checkpoint keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RunPosition:
    """Where a run stands."""

    step: int = 0
    """Rollout batches the policy was trained on."""
    pretraining_steps: int = 0
    """Rollout batches the critic alone was trained on."""
    pretrained: bool = False
    """Value pretraining is over."""
    version: int = 0
    """Weight version published last."""
    oldest_usable_critic: int = 0
    """Values of older critics (before value pretraining) are never used."""
    tokens: int = 0
    """Response tokens trained on."""
    unacknowledged: tuple[tuple[str, str], ...] = ()
    """(stream entry, rollout id) of rollouts whose effect this checkpoint is the first to hold."""
