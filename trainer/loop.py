"""The trainer's loop, to be read from top to bottom.

    start:  resume the newest checkpoint or begin; publish what the generators lack
    repeat: rank 0 waits for rollouts and says what to do; all ranks do it together
            WAIT        nothing yet
            PRETRAIN    critic steps on rollouts of the start policy, until it explains the returns
            TRAIN       values, advantages, mini-batches of critic and actor; publish new weights
            CHECKPOINT  write everything; then, and only then, acknowledge the rollouts
            STOP        a last checkpoint, and out

Invariant: every rank executes the same orders on the same rows; only rank 0 has a coordinator.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.algorithm.options import Options
from trainer.checkpoint import Position, resume_newest, save_checkpoint
from trainer.intake.coordinator import Coordinator
from trainer.intake.order import Action, Order, share_order
from trainer.learning.batch import Batch
from trainer.learning.forward import token_log_probs
from trainer.learning.phase_times import Phases
from trainer.learning.snapshots import WeightSnapshots
from trainer.learning.update import Learner, UpdateOptions, update
from trainer.learning.value_pretraining import PretrainingResult, pretrain, save_pretrained_critic
from trainer.publish import Publisher, published_dtype
from trainer.ranks.parallel import Ranks
from trainer.records import report
from trainer.records.mismatch import Mismatch, measure_mismatch, measure_past_mismatch, require_agreement
from vapo.settings import Settings, dump_settings

logger = logging.getLogger(__name__)

PRETRAINED_CRITIC = "pretrained_critic"
"""Folder under the run's directory; name it in ``value_pretraining.checkpoint`` to reuse it."""


@dataclass(frozen=True)
class Setup:
    """What a trainer process works with; the same on every rank but for ``coordinator``."""

    settings: Settings
    ranks: Ranks
    learner: Learner
    algorithm: Options
    options: UpdateOptions
    random: np.random.Generator
    publisher: Publisher
    coordinator: Coordinator | None
    """Rank 0 alone has one."""


class TrainingLoop:
    """Runs until the step limit, a stop request, or an error."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._settings, self._ranks = setup.settings, setup.ranks
        self._learner, self._coordinator = setup.learner, setup.coordinator
        self._position = Position()
        self._saved: Position | None = None
        self._agreed = False
        self._published_step = 0
        self._phases = Phases(setup.ranks.device)
        self._snapshots = WeightSnapshots(
            self._settings.trainer.mismatch_snapshots, published_dtype(setup.ranks.device)
        )

    def run(self) -> Position:
        """Train; returns where the run stands, with everything on disk.

        Raises:
            BatchDeadline: rollouts stopped coming.
            MismatchError: generator and trainer disagree about the same weights.
            FloatingPointError: a gradient is not finite.
        """
        self._start()
        while True:
            self._phases = Phases(self._ranks.device)
            order = self._next_order()
            if order.action is Action.PRETRAIN:
                self._pretrain(Batch(order.rows, self._ranks.device))
            elif order.action is Action.TRAIN:
                self._train(Batch(order.rows, self._ranks.device))
            if self._checkpoint_is_due(order.action):
                self._checkpoint()
            if order.action is Action.STOP:
                return self._position

    def _next_order(self) -> Order:
        coordinator = self._coordinator
        while True:
            order = coordinator.next_order(self._position, self._phases) if coordinator else None
            shared = share_order(order, self._ranks)
            if shared.action is not Action.WAIT:
                return shared

    # Start -----------------------------------------------------------------------------------

    def _start(self) -> None:
        manifest = resume_newest(
            self._settings.run.checkpoints_directory, self._learner, self._setup.random, self._ranks
        )
        if manifest is None:
            self._position = Position(pretrained=not self._needs_pretraining())
        else:
            self._position = self._saved = replace(manifest.position, unacknowledged=())
            logger.info("resumed the checkpoint of step %d", self._position.step)
        if self._coordinator:
            self._coordinator.resume(manifest.position if manifest else self._position)
        announced = self._setup.publisher.newest_version()
        self._learner.version = max(self._position.version, announced)
        self._learner.oldest_usable_critic = self._position.oldest_usable_critic
        if manifest is not None or announced > 0 or self._has_critic_of_its_own():
            self._publish()
        else:
            self._snapshots.keep(self._learner.version, self._learner.policy)
        if manifest is None and self._position.pretrained:
            self._use_critics_from(self._learner.version)

    def _needs_pretraining(self) -> bool:
        pretraining = self._settings.value_pretraining
        return pretraining.enabled and pretraining.checkpoint is None and self._setup.algorithm.estimator == "gae"

    def _has_critic_of_its_own(self) -> bool:
        return self._settings.value_pretraining.checkpoint is not None

    def _use_critics_from(self, version: int) -> None:
        self._learner.oldest_usable_critic = version
        self._position = replace(self._position, oldest_usable_critic=version)

    # Steps -----------------------------------------------------------------------------------

    def _pretrain(self, batch: Batch) -> None:
        self._require_agreement(batch)
        settings = self._settings.value_pretraining
        options = replace(self._setup.options, critic_epochs=settings.epochs)
        result = pretrain(
            self._learner, batch, self._setup.algorithm, options, self._ranks, self._setup.random, self._phases
        )
        number = self._position.pretraining_steps + 1
        self._position = replace(self._position, pretraining_steps=number)
        if self._coordinator:
            self._coordinator.note_pretrained(number)
            self._coordinator.report_pretraining(number, self._pretraining_row(batch, result))
        explained = result.explained_variance
        if number >= settings.max_steps or (explained is not None and explained >= settings.explained_variance):
            self._end_pretraining()

    def _end_pretraining(self) -> None:
        folder = self._settings.run.directory / PRETRAINED_CRITIC
        save_pretrained_critic(folder, self._learner, self._ranks)
        self._position = replace(self._position, pretrained=True)
        self._publish()
        self._use_critics_from(self._learner.version)

    def _train(self, batch: Batch) -> None:
        self._require_agreement(batch)
        past = self._past_mismatch(batch)
        result = update(
            self._learner,
            batch,
            self._setup.algorithm,
            self._setup.options,
            self._ranks,
            self._setup.random,
            self._phases,
        )
        known = result.proximal_known
        mismatch = past or measure_mismatch(
            batch.behaviour_log_probs[known],
            result.proximal_log_probs[known],
            batch.token_versions[known],
            result.version,
        )
        position = self._position
        step = position.step + 1
        self._position = replace(position, step=step, tokens=position.tokens + batch.response_tokens)
        if self._publication_is_due(step):
            self._publish()
        if self._coordinator:
            row = report.batch_row(batch) | report.update_row(batch, result)
            row |= report.staleness_row(self._coordinator.staleness(step - 1))
            row |= report.mismatch_row(mismatch, self._coordinator.canary_mismatch())
            with self._phases.measure("ledger"):
                self._coordinator.note_trained(batch, result, step)
            self._coordinator.report_step(step, self._complete_row(row, batch))

    def _past_mismatch(self, batch: Batch) -> Mismatch | None:
        """The gap on rows of weights kept; None where the batch has tokens of the actor's own."""
        if self._has_tokens_of_these_weights(batch):
            return None
        with self._phases.measure("mismatch"):
            return measure_past_mismatch(
                self._learner,
                batch,
                self._snapshots,
                self._settings.trainer.mismatch_rows,
                self._setup.options.packing,
                self._ranks,
            )

    def _require_agreement(self, batch: Batch) -> None:
        """Once per start, on the first tokens of the weights the trainer holds."""
        version = self._learner.version
        if self._agreed or not self._has_tokens_of_these_weights(batch):
            return
        with self._phases.measure("agreement"):
            log_probs = token_log_probs(
                self._learner.policy, batch, range(len(batch)), self._setup.options.packing, self._ranks
            )
        mismatch = measure_mismatch(batch.behaviour_log_probs, log_probs, batch.token_versions, version)
        require_agreement(mismatch, self._settings.trainer.mismatch_limit)
        logger.info(
            "generator and trainer agree: %.3g nats per token over %d tokens of version %d",
            mismatch.magnitude,
            mismatch.tokens,
            version,
        )
        self._agreed = True

    def _has_tokens_of_these_weights(self, batch: Batch) -> bool:
        """Whether tokens were sampled from what the actor holds now, which between publications
        (``trainer.publish_every_steps``) is no version at all."""
        published = self._position.step == self._published_step
        return published and bool((batch.token_versions == self._learner.version).any())

    def _pretraining_row(self, batch: Batch, result: PretrainingResult) -> dict[str, Any]:
        return (
            report.batch_row(batch)
            | report.pretraining_row(result)
            | report.time_row(self._phases.seconds, batch.response_tokens)
        )

    def _complete_row(self, row: dict[str, Any], batch: Batch) -> dict[str, Any]:
        return (
            row
            | report.time_row(self._phases.seconds, batch.response_tokens)
            | {
                "version": self._learner.version,
                "tokens_total": self._position.tokens,
                "policy_updates": self._learner.policy_optimiser.steps_taken,
            }
        )

    # Weights and checkpoints -----------------------------------------------------------------

    def _publication_is_due(self, step: int) -> bool:
        """The last step's weights are published in any case: they are what serves on."""
        settings = self._settings.trainer
        return step % settings.publish_every_steps == 0 or step == settings.max_steps

    def _publish(self) -> None:
        with self._phases.measure("publish"):
            version = self._setup.publisher.publish(self._learner, self._position.step)
            self._snapshots.keep(version, self._learner.policy)
        self._published_step = self._position.step
        self._position = replace(self._position, version=version)
        if self._coordinator:
            self._coordinator.report_weights(version, self._position.step)

    def _checkpoint_is_due(self, action: Action) -> bool:
        if self._position == self._saved:
            return False
        every, position = self._settings.trainer.checkpoint_every_steps, self._position
        if action is Action.PRETRAIN:
            return position.pretrained or position.pretraining_steps % every == 0
        if action is Action.TRAIN:
            return position.step % every == 0
        return action in (Action.CHECKPOINT, Action.STOP)

    def _checkpoint(self) -> None:
        coordinator, settings = self._coordinator, self._settings
        held = coordinator.unacknowledged if coordinator else ()
        folder = save_checkpoint(
            settings.run.checkpoints_directory,
            self._learner,
            replace(self._position, unacknowledged=held),
            self._setup.random,
            dump_settings(settings),
            settings.trainer.keep_checkpoints,
            self._ranks,
        )
        self._saved = self._position
        if coordinator:
            coordinator.acknowledge()
            coordinator.report_checkpoint(self._position.step, str(folder))
