r"""The whole platform on one page, in one process: read this first, beside the paper (VAPO, arXiv 2504.05118).

    python -m lab.one_process          # a minute or two on one core: reward and held-out accuracy rise

A prompt becomes a response, a verdict, values, a step of critic and actor, and new weights; the next response comes
from these. Every step calls the function that the part named beside it calls too. What the parts add is HTTP, a queue
in Redis, many processes, and that any of them may die. One thing is not theirs: responses come from a small sampler
(lab/sampler.py) in place of vLLM. The studies run on this page as well (lab/study/run.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lab.sampler import sample
from services.verifier.judgement import MathVerifier
from services.verifier.reward import verdict
from trainer.assembly import build_learner
from trainer.learning.batch import RolloutBatch, TrainingRow
from trainer.learning.learner import Learner
from trainer.learning.policy import load_policy
from trainer.learning.state_dicts import policy_state_dict
from trainer.learning.timer import StepTimer
from trainer.learning.update import update
from trainer.learning.value_pretraining import pretrain
from trainer.ranks.parallel import Ranks
from vapo.demo.chain.chain import parse_problem
from vapo.demo.chain.problem_sets import problem_stream
from vapo.demo.chain.splits import Split
from vapo.messages import Verdict, VersionSpan
from vapo.model.critic import score
from vapo.settings import Settings, load_settings
from vapo.settings.presets import preset
from vapo.weights import ACTOR, remove_old_versions, version_folder, write_version

DIFFERENCES = ["trainer.prompts_per_step=8", "trainer.mini_batch_rollouts=32", "trainer.max_steps=30"]


@dataclass
class OneProcess:
    """What the parts hold, side by side."""

    learner: Learner  # the trainer's: actor and critic, their optimisers, the switches of the algorithm
    actor: PreTrainedModel  # the generator's copy of the actor, as last published
    tokenizer: PreTrainedTokenizerFast
    judge: Callable[[str, str], Verdict]  # the verifier's: from prompt and response to verdict and reward
    randomness: torch.Generator  # decides every sampled token

    def roll_out(self, prompts: Sequence[str]) -> list[TrainingRow]:
        """Generator: one response to each prompt, with the log-probs it was sampled at. Verifier: its verdict; where
        task or verifier is at fault there is no reward, and the rollout is left out rather than punished."""
        asked, end = self.tokenizer(list(prompts))["input_ids"], int(self.tokenizer.eos_token_id)
        responses = sample(self.actor, asked, self.learner.max_new_tokens, end, self.randomness)
        texts = self.tokenizer.batch_decode([one.token_ids for one in responses], skip_special_tokens=True)
        return [
            TrainingRow(
                rollout_id=str(number),
                task_id=prompt,
                prompt_token_ids=np.array(ids, np.int32),
                response_token_ids=np.array(response.token_ids, np.int32),
                behaviour_log_probs=np.array(response.log_probs, np.float32),
                version_spans=(VersionSpan(self.learner.version, 0, len(response.token_ids)),),
                reward=judged.reward,
                correct=judged.correct,
                truncated=response.truncated,
            )
            for number, (prompt, ids, response, text) in enumerate(zip(prompts, asked, responses, texts, strict=True))
            if (judged := self.judge(prompt, text)).reward is not None
        ]

    def score(self, rows: Sequence[TrainingRow]) -> list[TrainingRow]:
        """Value service: V of every state, read before the critic learns from these rows: after that it has seen
        their returns and is no baseline any more (VC-PPO, arXiv 2503.01491, Algorithm 1)."""
        critic, version = self.learner.required_critic()[0], self.learner.version
        with torch.no_grad():
            values = score(critic, [row.sequence for row in rows], self.learner.trainer.token_budget)
        return [replace(row, values=one, critic_version=version) for row, one in zip(rows, values, strict=True)]

    def publish(self, directory: Path, step: int) -> None:
        """Trainer: the actor as a numbered version, on disk whole or not at all. Generator: it takes that up."""
        self.learner.version = version = self.learner.version + 1
        write_version(directory, version, step, {ACTOR: partial(save_file, policy_state_dict(self.learner.policy))})
        self.actor.load_state_dict(load_file(version_folder(directory, version) / ACTOR))
        remove_old_versions(directory, keep=self.learner.trainer.keep_weight_versions)

    def accuracy(self, prompts: Sequence[str]) -> float:
        """Share of responses that are right, at temperature 1."""
        return float(np.mean([row.correct for row in self.roll_out(prompts)]))


def assemble(settings: Settings) -> OneProcess:
    """All parts, made of one settings tree as each of them is."""
    verifier, folder = MathVerifier(), settings.model.path

    def judge(prompt: str, response: str) -> Verdict:
        reference = str(parse_problem(prompt).answer)
        judgement = verifier.judge_cheaply(response, reference) or verifier.judge(response, reference)
        return verdict(judgement, settings.verifier)  # +1 or -1, Figure 2b

    learner = build_learner(settings, Ranks(0, 1, torch.device("cpu")))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    randomness = torch.Generator().manual_seed(settings.run.seed)
    return OneProcess(learner, load_policy(folder).causal_lm, tokenizer, judge, randomness)


def run(settings: Settings, held_out: int, weights: Path) -> tuple[float, float]:
    """A whole run; returns the accuracy on that many held-out problems before and after."""
    one, seed, pretraining = assemble(settings), settings.run.seed, settings.value_pretraining
    problems = (problem.prompt for problem in problem_stream(Split.TRAIN, seed))
    tests = [problem.prompt for problem in islice(problem_stream(Split.HELD_OUT, seed), held_out)]

    def roll_out() -> list[TrainingRow]:  # the gateway hands out prompts, each several times (group sampling)
        prompts = list(islice(problems, settings.trainer.prompts_per_step))
        return one.roll_out([prompt for prompt in prompts for _ in range(settings.sampling.samples_per_prompt)])

    before = one.accuracy(tests)
    for _ in range(pretraining.max_steps):  # section 4.1: the critic alone learns, from responses of the start policy
        pretrain(one.learner, RolloutBatch(roll_out()), pretraining, StepTimer())
    for step in range(1, settings.trainer.max_steps + 1):
        rows = one.score(roll_out())
        # One step of VAPO; `update` and trainer/algorithm/objective.py are read from top to bottom:
        # 1. advantages, Eq 3, lambda = 1 - 1 / (alpha * length), Eq 4-5; value targets with lambda = 1 (decoupled);
        # 2. critic: squared error to the targets, one optimiser step for each mini-batch;
        # 3. actor, Eq 10: Eq 7, each token counting the same, of Eq 8, clip-higher, plus mu times Eq 9, imitation.
        loss = update(one.learner, RolloutBatch(rows), StepTimer()).metrics["policy/total_loss"]
        one.publish(weights, step)
        print(f"step {step:2}  reward {np.mean([row.reward for row in rows]):+.2f}  loss {loss:+.4f}", flush=True)
    return before, one.accuracy(tests)


def main() -> None:
    """Thirty steps of 64 responses, with the demo's model and settings, on one core."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        before, after = run(load_settings(None, DIFFERENCES, {}, base=preset("demo")), 200, Path(folder))
    print(f"held-out accuracy {before:.3f} before, {after:.3f} after")


if __name__ == "__main__":
    main()
