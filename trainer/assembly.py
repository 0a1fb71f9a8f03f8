"""From settings to the objects of a training run."""

from __future__ import annotations

import numpy as np
import torch

from trainer.intake.coordinator import Coordinator
from trainer.intake.ingest import Ingest
from trainer.learning.learner import Learner
from trainer.learning.optimiser import Optimiser
from trainer.learning.policy import enable_gradient_checkpointing, load_policy
from trainer.learning.sharding import shard_critic, shard_policy
from trainer.loop import TrainingLoop
from trainer.publish import Publisher
from trainer.ranks.parallel import Ranks
from trainer.records.status import Requests, Status
from vapo.ledger import Ledger
from vapo.model.critic import WEIGHTS_NAME, Critic, load_critic
from vapo.model.text.tokenizer import tokenizer_fingerprint
from vapo.settings import Settings
from vapo.weights import WeightChannel

CONSUMER = "trainer"
"""Name its leases go by; the same after a restart, which is how they are found again."""


def build_learner(settings: Settings, ranks: Ranks) -> Learner:
    """Actor and, where the run has one, critic from the model folder, sharded over ranks, each
    with its optimiser."""
    trainer = settings.trainer
    policy = load_policy(
        settings.model.path,
        attention=trainer.attention,
        device=ranks.loading_device,
        gradient_checkpointing=trainer.gradient_checkpointing,
        entropy_gradient=settings.algorithm.entropy_weight > 0,
    )
    shard_policy(policy, ranks)
    critic = _load_critic(settings, ranks) if settings.has_critic else None
    return Learner(
        policy,
        Optimiser(policy, trainer.actor_learning_rate, trainer),
        critic,
        Optimiser(critic, trainer.critic_learning_rate, trainer) if critic else None,
        settings.algorithm,
        trainer,
        settings.sampling.max_new_tokens,
        ranks,
        np.random.default_rng(settings.run.seed),
    )


def _load_critic(settings: Settings, ranks: Ranks) -> Critic:
    trainer, saved = settings.trainer, settings.value_pretraining.checkpoint
    critic = load_critic(
        settings.model.path,
        saved / WEIGHTS_NAME if saved is not None else None,
        attention=trainer.attention,
        device=ranks.loading_device,
        bounds=settings.model.value_bounds,
    )
    if trainer.gradient_checkpointing:
        enable_gradient_checkpointing(critic.model)
    return shard_critic(critic, ranks)


def build_loop(
    settings: Settings, ranks: Ranks, requests: Requests, status: Status, ledger: Ledger | None
) -> TrainingLoop:
    """The loop with all that it works with; ``ledger`` is rank 0's.

    Raises:
        ModelFolderError, ModelFormError, CriticError: the model folder or the pretrained critic
            cannot be used.
        DisagreementError: the run belongs to another tokenizer.
    """
    torch.manual_seed(settings.run.seed)
    learner = build_learner(settings, ranks)
    channel = coordinator = None
    if ledger is not None:
        folder = settings.model.path
        ledger.control.agree("tokenizer", tokenizer_fingerprint(folder), folder)
        channel = WeightChannel(ledger.redis, ledger.keys)
        ingest = Ingest(
            ledger, channel, CONSUMER, learner.policy.causal_lm.config.vocab_size, settings.trains_whole_groups
        )
        coordinator = Coordinator(ledger, ingest, requests, status)
    return TrainingLoop(settings, learner, Publisher(settings.run.weights_directory, channel, learner), coordinator)
