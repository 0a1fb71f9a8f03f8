"""Time per phase of one trainer step on synthetic rollouts of a model folder.

    OMP_NUM_THREADS=1 python -m lab.benchmarks.trainer_step [MODEL] [--rollouts 128] [--budget 1024]

Rollouts have the demo's shape: about 20 prompt and 50 to 90 response tokens. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import torch

from trainer.algorithm.options import Options
from trainer.learning.batch import Batch, TrainingRow
from trainer.learning.forward import Packing, token_log_probs
from trainer.learning.models import load_policy
from trainer.learning.optimiser import Optimiser, OptimiserOptions
from trainer.learning.phase_times import Phases
from trainer.learning.update import Learner, UpdateOptions, update
from trainer.ranks.parallel import Ranks
from vapo.messages import VersionSpan
from vapo.model.critic import load_critic


def main() -> None:
    """Print the median seconds of each phase."""
    arguments = _arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(arguments.threads)
    ranks = Ranks(0, 1, device)
    learner = _learner(arguments.model, device, arguments.attention)
    packing = Packing(arguments.budget, arguments.attention == "flash_attention_2")
    batch = _batch(arguments, learner, packing, ranks)
    options = UpdateOptions(-(-len(batch) // arguments.mini_batches), packing)
    random, seconds = np.random.default_rng(0), []
    for _ in range(arguments.steps + 1):
        phases = Phases(device)
        update(learner, batch, Options(alpha=0.5, correction=arguments.correction), options, ranks, random, phases)
        seconds.append(phases.seconds)
    medians = {name: statistics.median(step[name] for step in seconds[1:]) for name in seconds[0]}
    total = sum(medians.values())
    for name, median in (*medians.items(), ("step", total)):
        print(f"{name:10s} {median:7.3f} s")
    print(
        json.dumps(
            {
                "seconds": medians,
                "tokens": batch.response_tokens,
                "device": str(device),
                "tokens_per_second": round(batch.response_tokens / total),
            }
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=Path("vapo/assets/chain-base"))
    parser.add_argument("--rollouts", type=int, default=128)
    parser.add_argument("--shortest", type=int, default=50, help="response tokens")
    parser.add_argument("--longest", type=int, default=90, help="response tokens")
    parser.add_argument("--mini-batches", type=int, default=2)
    parser.add_argument("--budget", type=int, default=1024, help="tokens per micro-batch")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--correction", default="none")
    parser.add_argument("--attention", default="sdpa")
    return parser.parse_args()


def _learner(model: Path, device: torch.device, attention: str) -> Learner:
    policy = load_policy(model, device=device, attention=attention)
    critic = load_critic(model, device=device, attention=attention)
    options = OptimiserOptions(1e-6)
    return Learner(policy, Optimiser(policy, options), critic, Optimiser(critic, options))


def _batch(arguments: argparse.Namespace, learner: Learner, packing: Packing, ranks: Ranks) -> Batch:
    """Random tokens; behaviour log-probs are the policy's own, as at zero staleness."""
    random = np.random.default_rng(0)
    vocabulary = learner.policy.causal_lm.config.vocab_size
    rows = [_row(random, number, vocabulary, arguments) for number in range(arguments.rollouts)]
    draft = Batch(rows, ranks.device)
    draft.behaviour_log_probs[:] = token_log_probs(learner.policy, draft, range(len(rows)), packing, ranks)
    return draft


def _row(random: np.random.Generator, number: int, vocabulary: int, arguments: argparse.Namespace) -> TrainingRow:
    length = int(random.integers(arguments.shortest, arguments.longest + 1))
    correct = bool(random.random() < 0.5)
    return TrainingRow(
        rollout_id=f"{number}.0",
        task_id=str(number),
        prompt_token_ids=random.integers(3, vocabulary, 20).astype(np.int32),
        response_token_ids=random.integers(3, vocabulary, length).astype(np.int32),
        behaviour_log_probs=np.zeros(length, np.float32),
        version_spans=(VersionSpan(0, 0, length),),
        reward=1.0 if correct else -1.0,
        correct=correct,
        truncated=False,
    )


if __name__ == "__main__":
    main()
