"""Run by torchrun: one update as sharded ranks on GPUs compute it, on the CPU, against float32.

bfloat16 parameters and float32 gradients are FSDP's doing and need no GPU.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tests.support.trainer_cases import VOCABULARY, random_rows, tiny_critic, tiny_policy
from trainer.algorithm.options import Options
from trainer.learning import sharding
from trainer.learning.batch import Batch
from trainer.learning.forward import Packing, state_values
from trainer.learning.models import Policy, enable_gradient_checkpointing
from trainer.learning.optimiser import Optimiser, OptimiserOptions
from trainer.learning.phase_times import Phases
from trainer.learning.sharding import shard_critic, shard_policy
from trainer.learning.update import Learner, UpdateOptions, UpdateResult, update
from trainer.ranks.parallel import Ranks, join_ranks, leave_ranks
from trainer.ranks.rank_exit import exit_rank

TEMPERATURE = 0.7  # bfloat16 has 0.69921875
ALONE = Ranks(0, 1, torch.device("cpu"))


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
    batch = Batch([replace(row, temperature=TEMPERATURE) for row in random_rows(13)])
    learner, expected = _learner(ranks), _update(_learner(ALONE), batch, ALONE)
    values = state_values(learner.critic, batch, range(13), Packing(64), ranks)
    assert values.before_tokens.dtype == torch.float32
    assert values.before_tokens.bfloat16().ne(values.before_tokens).any(), "values were rounded"
    result = _update(learner, batch, ranks)
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
    options = OptimiserOptions(1e-4)
    return Learner(policy, Optimiser(policy, options), critic, Optimiser(critic, options))


def _update(learner: Learner, batch: Batch, ranks: Ranks) -> UpdateResult:
    return update(
        learner,
        batch,
        Options(alpha=0.5, correction="token_tis"),
        UpdateOptions(7, Packing(64)),
        ranks,
        np.random.default_rng(0),
        Phases(),
    )


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
