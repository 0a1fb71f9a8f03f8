"""Publication of actor and critic as numbered weight versions; without a critic, of the actor.

Invariants:
- versions rise with every publication for the life of a run, also over resumes from older
  checkpoints: a resumed trainer starts above the newest announced version;
- a version is announced only when its files are complete;
- each carries the trainer's own log-probs of fixed tokens, with which generators prove their load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from trainer.learning.batch import RolloutBatch, TrainingRow
from trainer.learning.learner import Learner
from trainer.learning.policy_steps import token_log_probs
from trainer.learning.state_dicts import critic_state_dict, policy_state_dict
from trainer.ranks.parallel import share_number
from vapo.messages import VersionSpan
from vapo.weights import ACTOR, CRITIC, WeightChannel, newest_on_disk, remove_old_versions, write_version
from vapo.weights.canary import canary_record, canary_token_ids


@dataclass(frozen=True)
class Publisher:
    """Writes versions of what ``learner`` holds; ``channel`` is None on all ranks but the first."""

    directory: Path
    channel: WeightChannel | None
    learner: Learner

    def newest_version(self) -> int:
        """Version of the run's last publication, 0 if none; the same on every rank."""
        ranks = self.learner.ranks
        return share_number(self._newest() if ranks.is_first else None, ranks)

    def _newest(self) -> int:
        """Of a Redis that lost its last writes the files tell: a number is never used twice."""
        newest = self.channel.newest() if self.channel else None
        return max(newest.version, newest_on_disk(self.directory)) if newest else 0

    def publish(self, step: int) -> int:
        """Publish the learner's weights as the version after ``learner.version``.

        Every rank must call this; when it returns on rank 0, the version is announced.

        Returns:
            The new version, which is also ``learner.version`` from now on.
        """
        learner = self.learner
        learner.version += 1
        dtype, keep = published_dtype(learner.ranks.device), learner.ranks.is_first
        states = {ACTOR: _cast(policy_state_dict(learner.policy, keep), dtype)}
        if learner.critic is not None:
            states[CRITIC] = _cast(critic_state_dict(learner.critic, keep), dtype)
        canary = canary_of(learner)
        if self.channel is not None:
            writers: dict[str, Callable[[Path], None]] = {
                name: partial(save_file, state) for name, state in states.items()
            }
            manifest = write_version(self.directory, learner.version, step, writers, canary)
            self.channel.announce(manifest)
            remove_old_versions(self.directory, learner.trainer.keep_weight_versions)
        return learner.version


def published_dtype(device: torch.device) -> torch.dtype:
    """The type the trainer computes in: half the bytes on CUDA, and nothing is lost by it."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def canary_of(learner: Learner) -> dict[str, Any]:
    """The trainer's log-probs of the canary tokens, temperature 1; every rank must call this."""
    token_ids = canary_token_ids(learner.policy.causal_lm.config.vocab_size)
    tokens = np.array(token_ids, np.int32)
    row = TrainingRow(
        "canary",
        "canary",
        tokens[:1],
        tokens[1:],
        np.zeros(tokens.size - 1, np.float32),
        (VersionSpan(0, 0, tokens.size - 1),),
        reward=0.0,
        correct=False,
        truncated=False,
    )
    log_probs = token_log_probs(learner, RolloutBatch([row], learner.ranks.device), [0])
    return canary_record(token_ids, log_probs.tolist())


def _cast(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights in ``dtype``; the value head always stays in float32."""
    return {name: tensor if name.startswith("value_head.") else tensor.to(dtype) for name, tensor in state.items()}
