"""Tiny random models and rollouts for the trainer's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen2Config, Qwen3Config

from trainer.learning.batch import TrainingRow
from trainer.learning.learner import Learner
from trainer.learning.optimiser import Optimiser
from trainer.learning.policy import Policy
from trainer.ranks.parallel import Ranks
from vapo.messages import VersionSpan
from vapo.model.critic import Critic
from vapo.settings import AlgorithmSettings, TrainerSettings

ALONE = Ranks(0, 1, torch.device("cpu"))
VOCABULARY = 61
FORMS = ("qwen2", "qwen3", "llama")


def tiny_config(form: str = "qwen3", tied: bool = False) -> PretrainedConfig:
    """Two layers, hidden size 32, grouped queries."""
    kind = {"qwen2": Qwen2Config, "qwen3": Qwen3Config, "llama": LlamaConfig}[form]
    head = {} if form == "qwen2" else {"head_dim": 8}
    config = kind(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        tie_word_embeddings=tied,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **head,
    )
    config._attn_implementation = "sdpa"
    return config


def tiny_policy(form: str = "qwen3", tied: bool = False, seed: int = 0) -> Policy:
    """A float32 actor with weights large enough to make peaked distributions."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(tiny_config(form, tied))
    return Policy(_enlarge(model).train())


def tiny_critic(form: str = "qwen3", seed: int = 1) -> Critic:
    """A float32 critic whose value head is not zero, so that values differ."""
    torch.manual_seed(seed)
    critic = Critic(_enlarge(AutoModel.from_config(tiny_config(form))))
    torch.nn.init.normal_(critic.value_head.weight, std=0.3)
    return critic


def trainer_settings(rate: float = 1e-3, **others: Any) -> TrainerSettings:
    """Small ones, without warm-up; ``others`` may lie outside what people may set (one token)."""
    known = {"actor_learning_rate": rate, "critic_learning_rate": rate, "warmup_steps": 0}
    return TrainerSettings().model_copy(update={**known, "mini_batch_rollouts": 7, "token_budget": 128, **others})


def tiny_learner(
    policy: Policy | None = None,
    critic: Critic | None = None,
    *,
    algorithm: AlgorithmSettings | None = None,
    trainer: TrainerSettings | None = None,
    ranks: Ranks = ALONE,
    seed: int = 0,
    has_critic: bool = True,
) -> Learner:
    """A learner of the given or of tiny models; ``seed`` is that of its mini-batches."""
    trainer = trainer or trainer_settings()
    policy, critic = policy or tiny_policy(), (critic or tiny_critic()) if has_critic else None
    return Learner(
        policy,
        Optimiser(policy, trainer.actor_learning_rate, trainer),
        critic,
        Optimiser(critic, trainer.critic_learning_rate, trainer) if critic else None,
        algorithm or AlgorithmSettings(),
        trainer,
        max_new_tokens=24,
        ranks=ranks,
        random=np.random.default_rng(seed),
    )


def tiny_folder(folder: Path, form: str = "qwen3", tied: bool = False, seed: int = 0) -> Path:
    """A Hugging Face folder (config and weights, no tokenizer) of :func:`tiny_policy`."""
    tiny_policy(form, tied, seed).causal_lm.save_pretrained(folder)
    return folder


def random_rows(
    count: int, seed: int = 0, longest: int = 24, scored: bool = False, version: int = 0
) -> list[TrainingRow]:
    """Ragged rollouts in groups of two: some correct, some truncated, some of one token."""
    random = np.random.default_rng(seed)
    return [_random_row(random, number, longest, scored, version) for number in range(count)]


def _random_row(random: np.random.Generator, number: int, longest: int, scored: bool, version: int) -> TrainingRow:
    length = int(random.integers(1, longest + 1))
    correct = bool(random.random() < 0.5)
    return TrainingRow(
        rollout_id=f"task{number // 2}.{number % 2}",
        task_id=f"task{number // 2}",
        prompt_token_ids=_tokens(random, int(random.integers(1, 9))),
        response_token_ids=_tokens(random, length),
        behaviour_log_probs=(-random.random(length) * 4).astype(np.float32),
        version_spans=(VersionSpan(version, 0, length),),
        reward=1.0 if correct else -1.0,
        correct=correct,
        truncated=bool(random.random() < 0.25),
        values=random.normal(size=length + 1).astype(np.float32) if scored else None,
        critic_version=version if scored else None,
    )


def _tokens(random: np.random.Generator, count: int) -> np.ndarray:
    return random.integers(3, VOCABULARY, count).astype(np.int32)


def _enlarge(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(3.0)
    return model
