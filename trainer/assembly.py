"""From settings to the objects of a training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from trainer.algorithm.options import Options
from trainer.intake.coordinator import Coordinator
from trainer.intake.ingest import Ingest
from trainer.learning.critic_replay import CriticReplay
from trainer.learning.forward import Packing
from trainer.learning.models import enable_gradient_checkpointing, load_policy
from trainer.learning.optimiser import Optimiser, OptimiserOptions
from trainer.learning.sharding import shard_critic, shard_policy
from trainer.learning.update import Learner, UpdateOptions
from trainer.loop import Setup
from trainer.publish import Publisher
from trainer.ranks.parallel import Ranks
from trainer.records.status import Requests, Status
from vapo.ledger import Ledger
from vapo.model.critic import WEIGHTS_NAME, Critic, load_critic
from vapo.model.tokenizer import tokenizer_fingerprint
from vapo.settings import Settings
from vapo.weights import WeightChannel

CONSUMER = "trainer"
"""Name its leases go by; the same after a restart, which is how they are found again."""


def algorithm_options(settings: Settings) -> Options:
    """The objective's switches."""
    return Options(**settings.algorithm.model_dump(), max_response_tokens=settings.sampling.max_new_tokens)


def update_options(settings: Settings) -> UpdateOptions:
    """How rollout batches are cut up."""
    trainer = settings.trainer
    return UpdateOptions(
        mini_batch_rollouts=trainer.mini_batch_rollouts,
        packing=Packing(trainer.token_budget, flat=trainer.attention == "flash_attention_2"),
        epochs=trainer.epochs,
        critic_version_lag=trainer.critic_version_lag,
        critic_epochs=trainer.critic_epochs,
        critic_mini_batch_rollouts=trainer.critic_mini_batch_rollouts,
    )


def build_learner(settings: Settings, algorithm: Options, ranks: Ranks) -> Learner:
    """Actor and, where the run has one, critic from the model folder, sharded over ranks, each
    with its optimiser."""
    trainer = settings.trainer
    policy = load_policy(
        settings.model.path,
        attention=trainer.attention,
        device=ranks.loading_device,
        gradient_checkpointing=trainer.gradient_checkpointing,
        entropy_gradient=algorithm.entropy_weight > 0,
    )
    shard_policy(policy, ranks)
    critic = critic_optimiser = None
    if settings.has_critic:
        critic = _load_critic(settings, ranks)
        shard_critic(critic, ranks)
        critic_optimiser = Optimiser(critic, _optimiser_options(settings, trainer.critic_learning_rate))
    return Learner(
        policy,
        Optimiser(policy, _optimiser_options(settings, trainer.actor_learning_rate)),
        critic,
        critic_optimiser,
        replay=CriticReplay(trainer.critic_replay_steps),
    )


def _load_critic(settings: Settings, ranks: Ranks) -> Critic:
    trainer, saved = settings.trainer, settings.value_pretraining.checkpoint
    weights: Path | None = saved / WEIGHTS_NAME if saved is not None else None
    critic = load_critic(
        settings.model.path,
        weights,
        attention=trainer.attention,
        device=ranks.loading_device,
        bounds=settings.model.value_bounds,
    )
    if trainer.gradient_checkpointing:
        enable_gradient_checkpointing(critic.model)
    return critic


def _optimiser_options(settings: Settings, learning_rate: float) -> OptimiserOptions:
    trainer = settings.trainer
    return OptimiserOptions(
        learning_rate=learning_rate,
        warmup_steps=trainer.warmup_steps,
        beta1=trainer.adam_beta1,
        beta2=trainer.adam_beta2,
        weight_decay=trainer.weight_decay,
        gradient_clip=trainer.gradient_clip,
    )


def build_setup(settings: Settings, ranks: Ranks, requests: Requests, status: Status, ledger: Ledger | None) -> Setup:
    """All that the loop works with; ``ledger`` is rank 0's.

    Raises:
        ModelFolderError, ModelFormError, CriticError: the model folder or the pretrained critic
            cannot be used.
        DisagreementError: the run belongs to another tokenizer.
    """
    torch.manual_seed(settings.run.seed)
    algorithm = algorithm_options(settings)
    learner = build_learner(settings, algorithm, ranks)
    channel = coordinator = None
    if ledger is not None:
        folder = settings.model.path
        ledger.control.agree("tokenizer", tokenizer_fingerprint(folder), folder)
        channel = WeightChannel(ledger.redis, ledger.keys)
        ingest = Ingest(
            ledger, channel, CONSUMER, learner.policy.causal_lm.config.vocab_size, settings.trains_whole_groups
        )
        coordinator = Coordinator(ledger, ingest, requests, status)
    publisher = Publisher(settings.run.weights_directory, settings.trainer.keep_weight_versions, channel, ranks)
    return Setup(
        settings,
        ranks,
        learner,
        algorithm,
        update_options(settings),
        np.random.default_rng(settings.run.seed),
        publisher,
        coordinator,
    )
