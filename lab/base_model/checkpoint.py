"""From a recipe to a complete Hugging Face folder with its own README."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from lab.base_model.card import write_card
from lab.base_model.data import batches
from lab.base_model.measurement import Measurement, measure
from lab.base_model.model import build_model
from lab.base_model.recipe import Recipe
from lab.base_model.tokenizer import build_tokenizer
from lab.base_model.training import Progress, train
from vapo.demo.chain.problem_sets import problem_set
from vapo.demo.chain.splits import Split


def make_checkpoint(
    recipe: Recipe, folder: Path, held_out_problems: int, report: Callable[[Progress], None] = lambda progress: None
) -> dict[str, Measurement]:
    """Train a base model by ``recipe`` and write it to ``folder``; returns what was measured.

    With ``held_out_problems`` 0 nothing is measured.
    """
    tokenizer = build_tokenizer(recipe.shape.context_length)
    model = build_model(recipe.shape, tokenizer, recipe.seed)
    start = time.monotonic()
    train(model, batches(recipe, tokenizer), recipe, report)
    seconds = time.monotonic() - start
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    measured = _measure(model, tokenizer, recipe, held_out_problems)
    write_card(folder, recipe, measured, model.num_parameters(), seconds)
    return measured


def _measure(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, held_out_problems: int
) -> dict[str, Measurement]:
    if held_out_problems == 0:
        return {}
    problems: Sequence = problem_set(Split.HELD_OUT, held_out_problems, recipe.seed, recipe.terms)
    torch.manual_seed(recipe.seed)
    return {
        "avg@4 at temperature 1.0": measure(model, tokenizer, problems, samples=4),
        "greedy": measure(model, tokenizer, problems, greedy=True),
    }
