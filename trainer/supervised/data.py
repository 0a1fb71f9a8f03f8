"""Batches of demonstrations.

Invariants: only warm-up problems occur; the loss covers the response and its end token, never the
prompt or padding; batches follow from the recipe alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from trainer.supervised.recipe import Recipe
from vapo.tasks.demonstrations import demonstrate
from vapo.tasks.problem_sets import problem_stream
from vapo.tasks.splits import Split

IGNORED_LABEL = -100


@dataclass(frozen=True)
class Batch:
    """Token ids and labels, both int64 [sequences, longest]; ignored positions carry -100."""

    token_ids: Tensor
    labels: Tensor


def batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[Batch]:
    """One batch per step of the recipe, every problem new."""
    problems = problem_stream(Split.WARM_UP, recipe.seed, recipe.terms)
    generator = random.Random(f"demonstrations/{recipe.seed}")
    for step in range(recipe.steps):
        habits = replace(recipe.habits, careful_share=recipe.careful_share(step))
        yield encode(
            [
                (problem.prompt, demonstrate(problem, habits, generator))
                for problem in islice(problems, recipe.batch_size)
            ],
            tokenizer,
        )


def encode(pairs: list[tuple[str, str]], tokenizer: PreTrainedTokenizerFast) -> Batch:
    """Pad (prompt, response) pairs on the right and mask everything but the responses."""
    prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
    responses = tokenizer([response for _, response in pairs])["input_ids"]
    end = [tokenizer.eos_token_id]
    longest = max(len(p) + len(r) + 1 for p, r in zip(prompts, responses, strict=True))
    token_ids = torch.full((len(pairs), longest), tokenizer.pad_token_id)
    labels = torch.full((len(pairs), longest), IGNORED_LABEL)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        sequence = torch.tensor(prompt + response + end)
        token_ids[row, : len(sequence)] = sequence
        labels[row, len(prompt) : len(sequence)] = sequence[len(prompt) :]
    return Batch(token_ids, labels)
