"""Run by torchrun: one update as sharded ranks on GPUs compute it, on the CPU, against float32.

bfloat16 parameters and float32 gradients are FSDP's doing and need no GPU.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tests.support.trainer_cases import (
    ALONE,
    VOCABULARY,
    random_rows,
    tiny_critic,
    tiny_learner,
    tiny_policy,
    trainer_settings,
)
from trainer.learning import sharding
from trainer.learning.batch import RolloutBatch
from trainer.learning.learner import Learner
from trainer.learning.policy import Policy, enable_gradient_checkpointing
from trainer.learning.sharding import shard_critic, shard_policy
from trainer.learning.timer import StepTimer
from trainer.learning.update import UpdateResult, update
from trainer.learning.values import state_values
from trainer.ranks.parallel import Ranks, join_ranks, leave_ranks
from trainer.ranks.rank_exit import exit_rank
from vapo.settings import AlgorithmSettings

TEMPERATURE = 0.7  # bfloat16 has 0.69921875


class WatchedPolicy(Policy):
    """Remembers what its output head was given."""

    def _score(self, states: Tensor, actions: Tensor, temperatures: Tensor | None) -> tuple[Tensor, Tensor]:
        if temperatures is not None:  # an idle micro-batch has none
            self.seen = (states.dtype, temperatures.dtype, self.causal_lm.lm_head.weight.dtype)
        return super()._score(states, actions, temperatures)


def main() -> None:
    """Asserts that the update on all ranks is near the float32 one."""
    precision = sharding._mixed_precision(torch.device("cuda"))
    sharding._mixed_precision = lambda _: precision
    torch.set_num_threads(1)
    ranks = join_ranks()
    batch = RolloutBatch([replace(row, temperature=TEMPERATURE) for row in random_rows(13)])
    learner, expected = _learner(ranks), update(_learner(ALONE), batch, StepTimer())
    values = state_values(learner, batch, range(13))
    assert values.before_tokens.dtype == torch.float32
    assert values.before_tokens.bfloat16().ne(values.before_tokens).any(), "values were rounded"
    result = update(learner, batch, StepTimer())
    assert learner.policy.seen == (torch.bfloat16, torch.float32, torch.bfloat16)
    _check_near(result, expected)
    for model in (learner.policy, learner.critic):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    leave_ranks(ranks)


def _learner(ranks: Ranks) -> Learner:
    policy, critic = WatchedPolicy(tiny_policy().causal_lm), tiny_critic()
    policy.chunk_elements = VOCABULARY * 5
    if ranks.sharded:
        enable_gradient_checkpointing(policy.causal_lm)
        enable_gradient_checkpointing(critic.model)
    shard_policy(policy, ranks)
    shard_critic(critic, ranks)
    algorithm = AlgorithmSettings(alpha=0.5, correction="token_tis")
    trainer = trainer_settings(rate=1e-4, token_budget=64)
    return tiny_learner(policy, critic, algorithm=algorithm, trainer=trainer, ranks=ranks)


def _check_near(result: UpdateResult, expected: UpdateResult) -> None:
    for one, other in ((result.proximal_log_probs, expected.proximal_log_probs), (result.values, expected.values)):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=0.1, rtol=0.02)
    for name in ("policy/gradient_norm", "value/gradient_norm", "policy/entropy", "value/loss"):
        one, other = result.metrics[name], expected.metrics[name]
        assert abs(one - other) < 0.05 * abs(other), f"{name}: {one} instead of {other}"


if __name__ == "__main__":
    main()
    exit_rank(0)
