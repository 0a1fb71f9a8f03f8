"""One run of the study: warm-up excepted, everything from the base model to the measured policy.

The algorithm is the platform's own: :func:`trainer.learning.update.update` and
:func:`trainer.learning.value_pretraining.pretrain`. Only rollouts are made here, in this process.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from lab.study.base import BaseRecipe, load_base, tokenizer
from lab.study.configuration import Configuration
from lab.study.sampler import Response, sample
from trainer.algorithm.diagnostics import explained_variance
from trainer.learning.batch import RolloutBatch, TrainingRow
from trainer.learning.learner import Learner
from trainer.learning.optimiser import Optimiser
from trainer.learning.policy import Policy
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.learning.value_pretraining import pretrain
from trainer.ranks.parallel import Ranks
from vapo.demo.chain.splits import Split
from vapo.messages import VersionSpan
from vapo.model.critic import Critic
from vapo.settings import TrainerSettings, ValuePretrainingSettings

TOKENS_PER_MICRO_BATCH = 8192
HELD_OUT_SEED = 0
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
    """Models, data and random generators of one run."""

    def __init__(self, configuration: Configuration, bases: Path) -> None:
        self.configuration, self.regime = configuration, configuration.regime
        self.words = tokenizer()
        self.learner = _learner(configuration, bases)
        self.problems = self.regime.task.prompts(Split.TRAIN, configuration.seed)
        self.generator = torch.Generator().manual_seed(configuration.seed)
        self.past: deque[Any] = deque(maxlen=self.regime.staleness + 1)
        self.timer = StepTimer()

    def steps(self) -> Iterator[Row]:
        """Value pretraining, then reinforcement learning, until the budget is spent."""
        pretraining = self.regime.pretraining_steps if self.configuration.value_pretraining else 0
        for step in range(self.regime.rollout_steps):
            yield self._pretrain(step) if step < pretraining else self._train(step)

    def held_out_accuracy(self) -> float:
        """Mean over held-out problems and samples; the same problems for every run of a task."""
        stream = self.regime.task.prompts(Split.HELD_OUT, HELD_OUT_SEED)
        prompts = list(islice(stream, self.regime.held_out_problems))
        prompts = prompts * self.regime.held_out_samples
        rows = self._roll_out(prompts, self.learner.policy.causal_lm)
        return float(np.mean([row.correct for row in rows]))

    def _pretrain(self, step: int) -> Row:
        batch = RolloutBatch(self._rollouts(self.learner.policy.causal_lm))
        settings = ValuePretrainingSettings(epochs=self.regime.pretraining_epochs)
        result = pretrain(self.learner, batch, settings, StepTimer())
        return _row(step, "value pretraining", batch, result.explained_variance, result.metrics)

    def _train(self, step: int) -> Row:
        self.past.append(self._snapshot())
        with self.timer.measure("sampling"):
            batch = RolloutBatch(self._rollouts(self.past[0]))
        result = update(self.learner, batch, self.timer)
        explained = None
        if self.learner.algorithm.estimator == "gae":
            explained = explained_variance(result.values, result.signal.returns)
        return _row(step, "reinforcement learning", batch, explained, result.metrics)

    def _snapshot(self) -> Any:
        policy = self.learner.policy.causal_lm
        return copy.deepcopy(policy) if self.regime.staleness else policy

    def _rollouts(self, model: Any) -> list[TrainingRow]:
        samples = self.regime.samples_per_prompt
        prompts = islice(self.problems, self.regime.rollouts_per_step // samples)
        return self._roll_out([prompt for prompt in prompts for _ in range(samples)], model)

    def _roll_out(self, prompts: Sequence[str], model: Any) -> list[TrainingRow]:
        token_ids = self.words(list(prompts))["input_ids"]
        responses = sample(
            model, token_ids, self.regime.max_new_tokens, cast(int, self.words.eos_token_id), self.generator
        )
        texts = self.words.batch_decode([response.token_ids for response in responses], skip_special_tokens=True)
        task = self.regime.task
        return [
            _training_row(number, prompt, ids, response, task.is_correct(prompt, text))
            for number, (prompt, ids, response, text) in enumerate(
                zip(prompts, token_ids, responses, texts, strict=True)
            )
        ]


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


def _training_row(number: int, prompt: str, prompt_ids: list[int], response: Response, correct: bool) -> TrainingRow:
    length = len(response.token_ids)
    return TrainingRow(
        rollout_id=str(number),
        task_id=prompt,
        prompt_token_ids=np.array(prompt_ids, np.int32),
        response_token_ids=np.array(response.token_ids, np.int32),
        behaviour_log_probs=np.array(response.log_probs, np.float32),
        version_spans=(VersionSpan(0, 0, length),),
        reward=1.0 if correct else -1.0,
        correct=correct,
        truncated=response.truncated,
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
