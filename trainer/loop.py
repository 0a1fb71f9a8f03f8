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
from dataclasses import replace
from typing import Any

from trainer.checkpoint import resume_newest, save_checkpoint
from trainer.intake.coordinator import Coordinator
from trainer.intake.order import Action, Order, share_order
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.learning.value_pretraining import pretrain, save_pretrained_critic
from trainer.publish import Publisher, published_dtype
from trainer.records import report
from trainer.records.mismatch import MismatchWatch
from trainer.records.position import RunPosition
from vapo.settings import Settings, dump_settings

logger = logging.getLogger(__name__)

PRETRAINED_CRITIC = "pretrained_critic"
"""Folder under the run's directory; name it in ``value_pretraining.checkpoint`` to reuse it."""


class TrainingLoop:
    """Runs until the step limit, a stop request, or an error."""

    def __init__(
        self, settings: Settings, learner: Learner, publisher: Publisher, coordinator: Coordinator | None
    ) -> None:
        """The same on every rank but for ``coordinator``, which rank 0 alone has."""
        self._settings, self._learner = settings, learner
        self._publisher, self._coordinator = publisher, coordinator
        self._position = RunPosition()
        self._saved: RunPosition | None = None
        self._timer = StepTimer(learner.ranks.device)
        self._mismatch = MismatchWatch(learner, published_dtype(learner.ranks.device))

    def run(self) -> RunPosition:
        """Train; returns where the run stands, with everything on disk.

        Raises:
            BatchDeadline: rollouts stopped coming.
            MismatchError: generator and trainer disagree about the same weights.
            FloatingPointError: a gradient is not finite.
        """
        self._start()
        while True:
            self._timer = StepTimer(self._learner.ranks.device)
            order = self._next_order()
            if order.action is Action.PRETRAIN:
                self._pretrain(RolloutBatch(order.rows, self._learner.ranks.device))
            elif order.action is Action.TRAIN:
                self._train(RolloutBatch(order.rows, self._learner.ranks.device))
            if self._checkpoint_is_due(order.action):
                self._checkpoint()
            if order.action is Action.STOP:
                return self._position

    def _next_order(self) -> Order:
        coordinator = self._coordinator
        while True:
            order = coordinator.next_order(self._position, self._timer) if coordinator else None
            shared = share_order(order, self._learner.ranks)
            if shared.action is not Action.WAIT:
                return shared

    # Start -----------------------------------------------------------------------------------

    def _start(self) -> None:
        manifest = resume_newest(self._settings.run.checkpoints_directory, self._learner)
        if manifest is None:
            self._position = RunPosition(pretrained=not self._needs_pretraining())
        else:
            self._position = self._saved = replace(manifest.position, unacknowledged=())
            logger.info("resumed the checkpoint of step %d", self._position.step)
        if self._coordinator:
            self._coordinator.resume(manifest.position if manifest else self._position)
        announced = self._publisher.newest_version()
        self._learner.version = max(self._position.version, announced)
        self._learner.oldest_usable_critic = self._position.oldest_usable_critic
        if manifest is not None or announced > 0 or self._has_critic_of_its_own():
            self._publish()
        else:
            self._mismatch.note_version()
        if manifest is None and self._position.pretrained:
            self._use_critics_from(self._learner.version)

    def _needs_pretraining(self) -> bool:
        pretraining = self._settings.value_pretraining
        return pretraining.enabled and pretraining.checkpoint is None and self._settings.has_critic

    def _has_critic_of_its_own(self) -> bool:
        return self._settings.value_pretraining.checkpoint is not None

    def _use_critics_from(self, version: int) -> None:
        self._learner.oldest_usable_critic = version
        self._position = replace(self._position, oldest_usable_critic=version)

    # Steps -----------------------------------------------------------------------------------

    def _pretrain(self, batch: RolloutBatch) -> None:
        self._mismatch.require_agreement(batch, self._timer)
        settings = self._settings.value_pretraining
        result = pretrain(self._learner, batch, settings, self._timer)
        number = self._position.pretraining_steps + 1
        self._position = replace(self._position, pretraining_steps=number)
        if self._coordinator:
            self._coordinator.note_pretrained(number)
            metrics = report.batch_metrics(batch) | report.pretraining_metrics(result) | self._speed(batch)
            self._coordinator.report_pretraining(number, metrics)
        explained = result.explained_variance
        if number >= settings.max_steps or (explained is not None and explained >= settings.explained_variance):
            self._end_pretraining()

    def _end_pretraining(self) -> None:
        folder = self._settings.run.directory / PRETRAINED_CRITIC
        save_pretrained_critic(folder, self._learner)
        self._position = replace(self._position, pretrained=True)
        self._publish()
        self._use_critics_from(self._learner.version)

    def _train(self, batch: RolloutBatch) -> None:
        self._mismatch.require_agreement(batch, self._timer)
        past = self._mismatch.of_past_weights(batch, self._timer)
        result = update(self._learner, batch, self._timer)
        mismatch = past or self._mismatch.of_update(batch, result)
        step = self._position.step + 1
        self._position = replace(self._position, step=step, tokens=self._position.tokens + batch.response_tokens)
        if self._publication_is_due(step):
            self._publish()
        if self._coordinator:
            metrics = report.batch_metrics(batch) | report.update_metrics(batch, result)
            metrics |= report.staleness_metrics(self._coordinator.staleness(step - 1))
            metrics |= report.mismatch_metrics(mismatch, self._coordinator.canary_mismatch())
            with self._timer.measure("ledger"):
                self._coordinator.note_trained(batch, result, step)
            metrics |= self._speed(batch) | {
                "version": self._learner.version,
                "tokens_total": self._position.tokens,
                "policy_updates": self._learner.policy_optimiser.steps_taken,
            }
            self._coordinator.report_step(step, metrics)

    def _speed(self, batch: RolloutBatch) -> dict[str, Any]:
        return report.speed_metrics(self._timer.seconds, batch.response_tokens)

    # Weights and checkpoints -----------------------------------------------------------------

    def _publication_is_due(self, step: int) -> bool:
        """The last step's weights are published in any case: they are what serves on."""
        settings = self._settings.trainer
        return step % settings.publish_every_steps == 0 or step == settings.max_steps

    def _publish(self) -> None:
        with self._timer.measure("publish"):
            version = self._publisher.publish(self._position.step)
            self._mismatch.note_version()
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
            dump_settings(settings),
        )
        self._saved = self._position
        if coordinator:
            coordinator.acknowledge()
            coordinator.report_checkpoint(self._position.step, str(folder))
