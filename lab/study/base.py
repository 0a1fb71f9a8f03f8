"""The study's base model: a tiny transformer that can work in every method and prefers none.

The demo's task has a base model of its own, which is shipped.

Invariants: the base follows from task shape, model shape and recipe; all variants and seeds of a
study start from the same file.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from lab.base_model.data import Batch, encode
from lab.base_model.model import build_model
from lab.base_model.recipe import ModelShape, Recipe
from lab.base_model.tokenizer import build_tokenizer
from lab.base_model.training import train
from lab.study.demo_task import DemoTask
from lab.study.task import TaskShape, demonstrate, problem_stream
from vapo.demo.chain.splits import Split

CONTEXT_LENGTH = 2048


@dataclass(frozen=True)
class BaseRecipe:
    """How the base is made."""

    steps: int = 600
    batch_size: int = 64
    seed: int = 0
    shape: ModelShape = field(
        default_factory=lambda: ModelShape(
            hidden_size=64,
            layers=2,
            attention_heads=4,
            key_value_heads=2,
            head_size=16,
            feed_forward_size=128,
            context_length=CONTEXT_LENGTH,
        )
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """The demo's character-level tokenizer."""
    return build_tokenizer(CONTEXT_LENGTH)


def load_base(task: TaskShape | DemoTask, recipe: BaseRecipe, folder: Path) -> Qwen3ForCausalLM:
    """The base model; unless it is shipped, made and kept in ``folder`` if not there yet."""
    if isinstance(task, DemoTask):
        return task.load_base()
    file = folder / f"base-{_name(task, recipe)}.safetensors"
    model = build_model(recipe.shape, tokenizer(), recipe.seed)
    if file.exists():
        model.load_state_dict(load_file(file))
        return model
    train(model, demonstrations(task, recipe), Recipe(steps=recipe.steps, seed=recipe.seed))
    partial = file.with_suffix(".partial")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, partial)
    partial.rename(file)
    return model


def demonstrations(task: TaskShape, recipe: BaseRecipe) -> Iterator[Batch]:
    """One batch of worked problems per warm-up step."""
    words = tokenizer()
    problems = problem_stream(Split.WARM_UP, recipe.seed, task)
    generator = random.Random(f"method-chain/demonstrations/{recipe.seed}")
    for _ in range(recipe.steps):
        prompts = list(islice(problems, recipe.batch_size))
        yield encode([(prompt, demonstrate(prompt, task, generator)) for prompt in prompts], words)


def _name(task: TaskShape, recipe: BaseRecipe) -> str:
    text = json.dumps([asdict(task), asdict(recipe), torch.__version__], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
