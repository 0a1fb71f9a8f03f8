"""One run of a study: what it adds to ``lab.one_process`` is a budget, a regime's models, and staleness.

Invariants:
- rollouts of step s come from the weights of step max(0, s - staleness), with the log-probs they
  were sampled at; rollouts of value pretraining come from the start policy;
- every rollout counts against the budget, those of value pretraining too;
- problems depend on the seed alone, so runs of one seed see the same problems in the same order
  (with other samples per prompt: the same stream).
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import torch
from transformers import PreTrainedModel

from lab.one_process import OneProcess
from lab.study.base import BaseRecipe, load_base, tokenizer
from lab.study.configuration import Configuration
from trainer.algorithm.diagnostics import explained_variance
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.optimiser import Optimiser
from trainer.learning.policy import Policy
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.learning.value_pretraining import pretrain
from trainer.ranks.parallel import Ranks
from vapo.demo.chain.splits import Split
from vapo.messages import Verdict
from vapo.model.critic import Critic
from vapo.settings import TrainerSettings, ValuePretrainingSettings

TOKENS_PER_MICRO_BATCH = 8192
HELD_OUT_SEED = 0
RIGHT, WRONG = Verdict("correct", 1.0, None, ""), Verdict("wrong", -1.0, None, "")
Row = dict[str, float | int | str | None]
"""What is kept of one rollout step."""


@dataclass(frozen=True)
class RunResult:
    """Outcome of a run."""

    accuracy: float
    """Share of right samples on held-out problems at temperature 1, after training."""
    curve: list[Row]
    """One row per rollout step, in order."""
    seconds: float
    phases: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds of reinforcement learning by phase: ``sampling``, then the trainer's."""


def run(configuration: Configuration, bases: Path, report: Callable[[Row], None] = lambda row: None) -> RunResult:
    """Carry out one run.

    Args:
        configuration: decides everything.
        bases: folder of base models; the base is made there if it is missing.
        report: called with the row of every rollout step.
    """
    start = time.monotonic()
    session = _Session(configuration, bases)
    curve: list[Row] = []
    for row in session.steps():
        curve.append(row)
        report(row)
    phases = dict(session.timer.seconds)
    return RunResult(session.held_out_accuracy(), curve, time.monotonic() - start, phases)


class _Session:
    """One process, its problems, and the actors it had."""

    def __init__(self, configuration: Configuration, bases: Path) -> None:
        self.configuration, self.regime = configuration, configuration.regime
        self.learner, task = _learner(configuration, bases), self.regime.task
        self.process = OneProcess(
            self.learner,
            self.learner.policy.causal_lm,
            tokenizer(),
            lambda prompt, text: RIGHT if task.is_correct(prompt, text) else WRONG,
            torch.Generator().manual_seed(configuration.seed),
        )
        self.problems = task.prompts(Split.TRAIN, configuration.seed)
        self.past: deque[PreTrainedModel] = deque(maxlen=self.regime.staleness + 1)
        self.timer = StepTimer()

    def steps(self) -> Iterator[Row]:
        """Value pretraining, then reinforcement learning, until the budget is spent."""
        pretraining = self.regime.pretraining_steps if self.configuration.value_pretraining else 0
        for step in range(self.regime.rollout_steps):
            yield self._pretrain(step) if step < pretraining else self._train(step)

    def held_out_accuracy(self) -> float:
        """Mean over held-out problems and samples; the same problems for every run of a task."""
        self.process.actor = self.learner.policy.causal_lm
        stream = self.regime.task.prompts(Split.HELD_OUT, HELD_OUT_SEED)
        return self.process.accuracy([*islice(stream, self.regime.held_out_problems)] * self.regime.held_out_samples)

    def _pretrain(self, step: int) -> Row:
        batch = self._roll_out()
        settings = ValuePretrainingSettings(epochs=self.regime.pretraining_epochs)
        result = pretrain(self.learner, batch, settings, StepTimer())
        return _row(step, "value pretraining", batch, result.explained_variance, result.metrics)

    def _train(self, step: int) -> Row:
        actor = self.learner.policy.causal_lm
        self.past.append(copy.deepcopy(actor) if self.regime.staleness else actor)
        self.process.actor = self.past[0]
        with self.timer.measure("sampling"):
            batch = self._roll_out()
        result = update(self.learner, batch, self.timer)
        explained = None
        if self.learner.algorithm.estimator == "gae":
            explained = explained_variance(result.values, result.signal.returns)
        return _row(step, "reinforcement learning", batch, explained, result.metrics)

    def _roll_out(self) -> RolloutBatch:
        samples = self.regime.samples_per_prompt
        prompts = islice(self.problems, self.regime.rollouts_per_step // samples)
        return RolloutBatch(self.process.roll_out([prompt for prompt in prompts for _ in range(samples)]))


def _learner(configuration: Configuration, bases: Path) -> Learner:
    regime = configuration.regime
    model = load_base(regime.task, BaseRecipe(regime.base_steps), bases)
    critic = Critic(cast(PreTrainedModel, copy.deepcopy(model.base_model)))
    policy = Policy(model)
    trainer = TrainerSettings(
        mini_batch_rollouts=regime.rollouts_per_step // regime.mini_batches,
        critic_mini_batch_rollouts=regime.rollouts_per_step // (regime.critic_mini_batches or regime.mini_batches),
        critic_epochs=regime.critic_epochs,
        actor_learning_rate=regime.actor_learning_rate,
        critic_learning_rate=regime.critic_learning_rate,
        warmup_steps=regime.warmup_steps or 0,
        token_budget=TOKENS_PER_MICRO_BATCH,
    )
    return Learner(
        policy,
        Optimiser(policy, trainer.actor_learning_rate, trainer),
        critic,
        Optimiser(critic, trainer.critic_learning_rate, trainer),
        configuration.algorithm_settings(),
        trainer,
        regime.max_new_tokens,
        Ranks(0, 1, torch.device("cpu")),
        np.random.default_rng(configuration.seed),
    )


def _row(step: int, phase: str, batch: RolloutBatch, explained: float | None, metrics: dict[str, float]) -> Row:
    return {
        "step": step,
        "phase": phase,
        "accuracy": float(batch.correct.float().mean()),
        "reward": float(batch.rewards.mean()),
        "response_length": float(batch.lengths.float().mean()),
        "truncated": float(batch.truncated.float().mean()),
        "explained_variance": explained,
        **{name: float(value) for name, value in metrics.items()},
    }
