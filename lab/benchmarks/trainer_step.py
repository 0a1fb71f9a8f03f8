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

from trainer.learning.batch import RolloutBatch, TrainingRow
from trainer.learning.learner import Learner
from trainer.learning.optimiser import Optimiser
from trainer.learning.policy import load_policy
from trainer.learning.policy_steps import token_log_probs
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.ranks.parallel import Ranks
from vapo.messages import VersionSpan
from vapo.model.critic import load_critic
from vapo.settings import AlgorithmSettings, TrainerSettings


def main() -> None:
    """Print the median seconds of each part of a step."""
    arguments = _arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(arguments.threads)
    learner = _learner(arguments, Ranks(0, 1, device))
    batch, seconds = _batch(arguments, learner), []
    for _ in range(arguments.steps + 1):
        timer = StepTimer(device)
        update(learner, batch, timer)
        seconds.append(timer.seconds)
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


def _learner(arguments: argparse.Namespace, ranks: Ranks) -> Learner:
    policy = load_policy(arguments.model, device=ranks.device, attention=arguments.attention)
    critic = load_critic(arguments.model, device=ranks.device, attention=arguments.attention)
    trainer = TrainerSettings(
        mini_batch_rollouts=-(-arguments.rollouts // arguments.mini_batches),
        token_budget=arguments.budget,
        attention=arguments.attention,
        warmup_steps=0,
    )
    return Learner(
        policy,
        Optimiser(policy, 1e-6, trainer),
        critic,
        Optimiser(critic, 1e-6, trainer),
        AlgorithmSettings(alpha=0.5, correction=arguments.correction),
        trainer,
        arguments.longest,
        ranks,
        np.random.default_rng(0),
    )


def _batch(arguments: argparse.Namespace, learner: Learner) -> RolloutBatch:
    """Random tokens; behaviour log-probs are the policy's own, as at zero staleness."""
    random = np.random.default_rng(0)
    vocabulary = learner.policy.causal_lm.config.vocab_size
    rows = [_row(random, number, vocabulary, arguments) for number in range(arguments.rollouts)]
    draft = RolloutBatch(rows, learner.ranks.device)
    draft.behaviour_log_probs[:] = token_log_probs(learner, draft, range(len(rows)))
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
