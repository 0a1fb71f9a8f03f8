"""Run by torchrun: two rollout batches on this rank's share, each followed by a checkpoint and a
resume into fresh models; weights and losses are written by rank 0. Form ``llama`` also recomputes
activations and logits in the backward pass, and its critic has a bounded head, mini-batches and
epochs of its own, and replay.

Usage: trainer_ranks.py FORM TIED OUTPUT
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.support.trainer_cases import (
    VOCABULARY,
    random_rows,
    tiny_critic,
    tiny_learner,
    tiny_policy,
    trainer_settings,
)
from trainer.checkpoint import resume_newest, save_checkpoint
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.policy import enable_gradient_checkpointing
from trainer.learning.sharding import shard_critic, shard_policy
from trainer.learning.snapshots import WeightSnapshots
from trainer.learning.state_dicts import critic_state_dict, optimiser_state_dict, policy_state_dict
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.ranks.parallel import Ranks, join_ranks, leave_ranks
from trainer.ranks.rank_exit import exit_rank
from trainer.records.mismatch import measure_past_mismatch
from trainer.records.position import RunPosition
from trainer.records.report import update_metrics
from vapo.settings import AlgorithmSettings


def main(form: str, tied: bool, output: Path) -> None:
    """Train and write ``weights.safetensors`` and ``metrics.json`` into ``output``."""
    torch.set_num_threads(1)
    ranks = join_ranks()
    learner = _learner(form, tied, 0, ranks)
    metrics, snapshots = [], WeightSnapshots(2, torch.float32)
    for seed, rows in ((0, 13), (1, 3)):
        snapshots.keep(seed, learner.policy)
        batch = RolloutBatch(random_rows(rows, seed))
        result = update(learner, batch, StepTimer())
        mismatch = measure_past_mismatch(learner, batch, snapshots)
        metrics.append(result.metrics | _numbers(update_metrics(batch, result) | asdict(mismatch)))
        replay = learner.replay  # not part of a checkpoint
        # A folder of each rank's own: hosts need not share a disk.
        learner = _saved_and_loaded(learner, output / f"checkpoints-{ranks.rank}", form, tied)
        learner.replay = replay
    state = {f"actor.{name}": t for name, t in policy_state_dict(learner.policy).items()}
    state |= {f"critic.{name}": t for name, t in critic_state_dict(learner.critic).items()}
    state |= {f"adam.{name}": t for name, t in optimiser_state_dict(learner.policy, learner.policy_optimiser).items()}
    if ranks.is_first:
        save_file(state, output / "weights.safetensors")
        (output / "metrics.json").write_text(json.dumps(metrics))
    leave_ranks(ranks)


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """The figures of a metrics row, lists taken apart."""
    numbers = {}
    for name, value in row.items():
        parts = value if isinstance(value, list) else [value]
        for place, part in enumerate(parts):
            found = part if isinstance(part, dict) else {"": part}
            numbers |= {f"{name}/{place}/{key}": known for key, known in found.items() if known is not None}
    return numbers


def _learner(form: str, tied: bool, seed: int, ranks: Ranks) -> Learner:
    policy, critic = tiny_policy(form, tied, seed), tiny_critic(form, seed + 1)
    if form == "llama":
        policy.chunk_elements = VOCABULARY * 5
        enable_gradient_checkpointing(policy.causal_lm)
        enable_gradient_checkpointing(critic.model)
        critic.value_bounds = torch.tensor([-1.0, 1.0])
    shard_policy(policy, ranks)
    shard_critic(critic, ranks)
    known = {"warmup_steps": 2, "gradient_clip": 0.5, "token_budget": 64, "mismatch_rows": 4, "keep_checkpoints": 1}
    own = {"critic_epochs": 2, "critic_mini_batch_rollouts": 5, "critic_replay_steps": 1}
    trainer = trainer_settings(**known, **(own if form == "llama" else {"epochs": 2}))
    algorithm = AlgorithmSettings(alpha=0.5, correction="token_tis")
    return tiny_learner(policy, critic, algorithm=algorithm, trainer=trainer, ranks=ranks)


def _saved_and_loaded(learner: Learner, directory: Path, form: str, tied: bool) -> Learner:
    """A fresh learner with the state of ``learner``, by way of a checkpoint."""
    save_checkpoint(directory, learner, RunPosition(), {})
    again = _learner(form, tied, 99, learner.ranks)
    assert resume_newest(directory, again) is not None
    assert directory.exists() == learner.ranks.is_first
    return again


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "tied", Path(sys.argv[3]))
    exit_rank(0)
