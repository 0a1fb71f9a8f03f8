"""Sections of the trainer: value pretraining, and the optimisation of actor and critic."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from vapo.settings.section import PartSection, Port, Section


class ValuePretrainingSettings(Section):
    """Piece 1: fit the critic to Monte-Carlo returns of the fixed start policy (section 4.1)."""

    enabled: bool = True
    """Pretrain the critic before the first policy update."""
    max_steps: int = Field(50, ge=1)
    """Most rollout batches spent (section 5.1: 50 steps)."""
    explained_variance: float = Field(0.5, le=1)
    """Stop once explained variance against Monte-Carlo returns reaches this (our choice)."""
    epochs: int = Field(1, ge=1)
    """Passes over each pretraining batch (our choice)."""
    checkpoint: Path | None = None
    """Folder of an already pretrained critic; when set, pretraining is skipped."""


class TrainerSettings(PartSection):
    """Optimisation of actor and critic."""

    port: Port = 8004
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes: ``auto`` takes a GPU if torch finds one and else the CPU; ``cuda`` does
    not start without a GPU; ``cpu`` leaves a GPU alone. (vLLM's build decides for the generator.)
    """
    prompts_per_step: int = Field(512, ge=1)
    """Prompts per rollout batch (section 5.1: 512)."""
    mini_batch_rollouts: int = Field(512, ge=1)
    """Responses per optimiser step (section 5.1: 512)."""
    epochs: int = Field(1, ge=1)
    """Passes over each rollout batch (VC-PPO Algorithm 1: one)."""
    max_steps: int = Field(300, ge=1)
    """Rollout batches to train on; 300 is about the paper's 5,000 gradient updates / 16."""
    actor_learning_rate: float = Field(1e-6, gt=0)
    """Section 5.1: 1e-6."""
    critic_learning_rate: float = Field(2e-6, gt=0)
    """Section 5.1: 2e-6."""
    critic_epochs: int | None = Field(None, ge=1)
    """Passes of the critic over each rollout batch; unset: ``epochs``. SAO takes 2 critic updates
    per actor update, Open-Reasoner-Zero 12."""
    critic_mini_batch_rollouts: int | None = Field(None, ge=1)
    """Responses per optimiser step of the critic; unset: ``mini_batch_rollouts``."""
    critic_replay_steps: int = Field(0, ge=0)
    """Earlier rollout batches that the critic trains on again in every step (LE CRITIQUE: each
    row twice, so 1). Not part of a checkpoint: it fills again after a resume."""
    warmup_steps: int = Field(10, ge=0)
    """Optimiser steps of linear warm-up, then constant (length silent in the paper)."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW first moment."""
    adam_beta2: float = Field(0.95, ge=0, lt=1)
    """AdamW second moment."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW decoupled weight decay of matrices; norms and biases never decay (silent in the
    paper)."""
    gradient_clip: float = Field(1.0, gt=0)
    """Global gradient norm limit (silent in the paper)."""
    token_budget: int = Field(4096, ge=16)
    """Tokens per micro-batch, padding included."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention kernel of the trainer."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    critic_version_lag: int = Field(1, ge=0)
    """Values of the service are used as they are when the critic that scored them is at most this
    many versions older than the trainer's newest; others are scored again."""
    publish_every_steps: int = Field(1, ge=1)
    """Rollout steps between weight publications; at most ``ledger.max_staleness + 1``."""
    checkpoint_every_steps: int = Field(10, ge=1)
    """Rollout steps between checkpoints, in value pretraining too. Until then Redis keeps all
    rollouts trained on."""
    keep_checkpoints: int = Field(2, ge=1)
    """Checkpoints kept."""
    keep_weight_versions: int = Field(4, ge=2)
    """Published versions kept on disk."""
    uniform_batches_limit: int = Field(10, ge=0)
    """``drop_uniform_groups``: rollout batches' worth of uniform groups dropped for one step before
    the batch is filled up with them (10: ``max_num_gen_batches`` of verl's DAPO recipe); 0: the
    loss alone leaves them out."""
    mismatch_limit: float = Field(0.05, gt=0)
    """Refuse to start above this mean |behaviour - trainer| log-prob difference (nats/token)."""
    mismatch_snapshots: int = Field(2, ge=0)
    """Past actor versions kept in host memory, to measure that difference each step on tokens that
    are never of the trainer's own version; ledger.max_staleness + 1 covers them all, 0: none."""
    mismatch_rows: int = Field(8, ge=1)
    """Rows scored with past weights each step, at most."""
    threads: int = Field(1, ge=1)
    """CPU threads of the trainer (CPU only)."""
    batch_deadline_seconds: float = Field(3600.0, gt=0)
    """Longest wait for a rollout batch before the trainer reports what is missing and stops."""
