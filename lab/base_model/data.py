"""Batches of demonstrations.

Invariants: only warm-up problems occur; the loss covers the response and its end token, never the
prompt or padding; batches follow from the recipe alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from lab.base_model.demonstrations import demonstrate
from lab.base_model.recipe import Recipe
from vapo.demo.chain.problem_sets import problem_stream
from vapo.demo.chain.splits import Split

IGNORED_LABEL = -100

_STEPS_PER_POOL = 8

Pair = tuple[str, str]
"""Prompt and response."""


@dataclass(frozen=True)
class Batch:
    """Token ids and labels, both int64 [sequences, longest]; ignored positions carry -100."""

    token_ids: Tensor
    labels: Tensor


def batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[Batch]:
    """One batch per step of the recipe, every problem new, sequences of like length together."""
    problems = problem_stream(Split.WARM_UP, recipe.seed, recipe.terms)
    generator = random.Random(f"demonstrations/{recipe.seed}")
    for first_step in range(0, recipe.steps, _STEPS_PER_POOL):
        steps = min(_STEPS_PER_POOL, recipe.steps - first_step)
        careful_share = recipe.careful_share(first_step)
        errors = recipe.in_head_errors
        pool = [
            (problem.prompt, demonstrate(problem, careful_share, generator, errors))
            for problem in islice(problems, steps * recipe.batch_size)
        ]
        for pairs in _alike_in_length(pool, recipe.batch_size, generator):
            yield encode(pairs, tokenizer)


def _alike_in_length(pool: list[Pair], batch_size: int, generator: random.Random) -> list[list[Pair]]:
    """Cut the pool, sorted by length, into batches in random order: a fifth less padding."""
    pool = sorted(pool, key=lambda pair: len(pair[0]) + len(pair[1]))
    cut = [pool[start : start + batch_size] for start in range(0, len(pool), batch_size)]
    generator.shuffle(cut)
    return cut


def encode(pairs: list[Pair], tokenizer: PreTrainedTokenizerFast) -> Batch:
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
