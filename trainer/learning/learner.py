"""What one trainer process trains, and how: models, optimisers, and the settings they learn by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trainer.learning.critic_replay import CriticReplay
from trainer.learning.optimiser import Optimiser
from trainer.learning.policy import Policy
from trainer.ranks.parallel import Ranks
from vapo.model.critic import Critic
from vapo.settings import AlgorithmSettings, TrainerSettings


@dataclass
class Learner:
    """Actor and critic with their optimisers; all that learning needs beside a batch."""

    policy: Policy
    policy_optimiser: Optimiser
    critic: Critic | None
    """None with a group estimator."""
    critic_optimiser: Optimiser | None
    algorithm: AlgorithmSettings
    trainer: TrainerSettings
    max_new_tokens: int
    """Length limit responses are sampled with, tokens: L_max of DAPO Eq 13."""
    ranks: Ranks
    random: np.random.Generator
    """Decides which rows meet in a mini-batch; in the same state on every rank."""
    version: int = 0
    """Version of the weights last published, which the models held at the start of this step."""
    oldest_usable_critic: int = 0
    """Values of older critics are never used: they had not been pretrained."""
    replay: CriticReplay = field(init=False)
    """Earlier rows that the critic trains on again; by default none."""

    def __post_init__(self) -> None:
        self.replay = CriticReplay(self.trainer.critic_replay_steps)

    def required_critic(self) -> tuple[Critic, Optimiser]:
        """The critic and its optimiser. Raises ValueError in a run without a critic."""
        if self.critic is None or self.critic_optimiser is None:
            raise ValueError("this run has no critic, since algorithm.estimator is 'group'; set it to 'gae'")
        return self.critic, self.critic_optimiser
