"""Rollouts that no generator made: a tiny model's own log-probs on random tokens, put through every
stage of the ledger by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import Qwen3ForCausalLM

from tests.support.tiny_models import log_probs_of
from vapo.ledger import Ledger, Stage
from vapo.messages import FinishReason, Generated, Task, Values, Verdict, VersionSpan, float_array, token_array

LETTERS = range(35, 95)


class SyntheticRollouts:
    """Fills the trainer's queue with reproducible rollouts of ``model`` (weight version 0)."""

    def __init__(self, ledger: Ledger, model: Qwen3ForCausalLM, log_prob_error: float = 0.0) -> None:
        """``log_prob_error`` is added to every behaviour log-prob, as a broken engine would."""
        self._ledger, self._model, self._error = ledger, model, log_prob_error

    def submit(self, count: int, samples: int = 2, first: int = 0) -> list[str]:
        """Queue tasks ``t<first>`` and up, and make, judge and score all their samples."""
        for number in range(first, first + count):
            self._ledger.submit([self._task(number, samples)])
        return self.make(count)

    def make(self, tasks: int) -> list[str]:
        """Make, judge and score the missing samples of up to ``tasks`` waiting tasks."""
        newest = self._ledger.redis.get(self._ledger.keys.named("weight_newest"))
        made = []
        for lease in self._ledger.lease_tasks("generator", tasks, int(newest or 0)):
            for sample in lease.samples:
                generated = self.generated(lease.id, sample)
                self._ledger.record_generated(lease.id, sample, generated)
                made.append(f"{lease.id}.{sample}")
            self._ledger.finish_task_lease(lease)
        self._judge(len(made))
        self._score(len(made))
        return made

    def generated(self, task_id: str, sample: int) -> Generated:
        """The response to one sample; the same each time."""
        random = np.random.default_rng([int(task_id[1:]), sample])
        task = self._ledger.task(task_id).task
        tokens = random.choice(LETTERS, int(random.integers(3, 20)))
        prompt = task.prompt_token_ids.tolist()
        log_probs = log_probs_of(self._model, prompt + tokens.tolist())[len(prompt) - 1 :]
        finish: FinishReason = "length" if random.random() < 0.2 else "stop"
        return Generated(
            token_array(tokens),
            np.minimum(float_array(log_probs) + self._error, 0),
            (VersionSpan(0, 0, tokens.size),),
            finish,
            "text",
        )

    def _task(self, number: int, samples: int) -> Task:
        random = np.random.default_rng(number)
        return Task(f"t{number}", token_array(random.choice(LETTERS, 5)), "prompt", "42", samples=samples)

    def _judge(self, count: int) -> None:
        for lease in self._ledger.lease(Stage.GENERATED, "verifier", count, 1.0):
            rollout = self._ledger.rollout(lease.id)
            correct = is_correct(rollout.generated.token_ids)
            verdict = Verdict("correct" if correct else "wrong", 1.0 if correct else -1.0, "42", "")
            self._ledger.record_verdicts([(lease, rollout, verdict)])

    def _score(self, count: int) -> None:
        for lease in self._ledger.lease(Stage.VERIFIED, "value", count, 1.0):
            length = self._ledger.rollout(lease.id).generated.token_ids.size
            self._ledger.record_values([(lease, Values(np.zeros(length + 1, np.float32), 0))])


def is_correct(token_ids: Sequence[int]) -> bool:
    """An arbitrary but learnable rule: the response starts in the lower half of the alphabet."""
    return bool(token_ids[0] < 65)
