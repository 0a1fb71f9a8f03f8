"""Measuring a checkpoint on held-out problems with plain transformers generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from lab.base_model.boxed_integer import boxed_integer
from vapo.demo.chain.chain import ChainProblem

_SEQUENCES_AT_ONCE = 200


@dataclass(frozen=True)
class Measurement:
    """Accuracy in [0, 1]; mean length in characters of the response, without the end token."""

    accuracy: float
    mean_length: float


def measure(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[ChainProblem],
    *,
    samples: int = 1,
    greedy: bool = False,
    max_new_tokens: int = 192,
) -> Measurement:
    """Answer each problem ``samples`` times at temperature 1, or once greedily.

    Prompts are grouped by length, so no padding enters the attention.
    """
    correct, characters, answered = 0, 0, 0
    for group in _groups_of_equal_length(list(problems) * (1 if greedy else samples)):
        for problem, response in zip(group, _respond(model, tokenizer, group, greedy, max_new_tokens), strict=True):
            correct += boxed_integer(response) == problem.answer
            characters += len(response)
            answered += 1
    return Measurement(correct / answered, characters / answered)


def _groups_of_equal_length(problems: Sequence[ChainProblem]) -> list[list[ChainProblem]]:
    by_length: dict[int, list[ChainProblem]] = {}
    for problem in problems:
        by_length.setdefault(len(problem.prompt), []).append(problem)
    return [
        group[start : start + _SEQUENCES_AT_ONCE]
        for group in by_length.values()
        for start in range(0, len(group), _SEQUENCES_AT_ONCE)
    ]


@torch.inference_mode()
def _respond(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[ChainProblem],
    greedy: bool,
    max_new_tokens: int,
) -> list[str]:
    model.eval()
    prompts = tokenizer([problem.prompt for problem in problems], return_tensors="pt")
    sequences = model.generate(  # type: ignore[misc]  # its self is typed as a protocol
        input_ids=prompts["input_ids"],
        attention_mask=prompts["attention_mask"],
        do_sample=not greedy,
        max_new_tokens=max_new_tokens,
    )
    responses = sequences[:, prompts["input_ids"].shape[1] :]
    return tokenizer.batch_decode(responses, skip_special_tokens=True)
