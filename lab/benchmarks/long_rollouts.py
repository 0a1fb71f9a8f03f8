"""Records of long responses, of the sizes real ones have: random tokens of four letters each."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from vapo.messages import Generated, Task, Values, Verdict, VersionSpan, float_array, token_array

LETTERS_PER_TOKEN = 4
VERDICT = Verdict("correct", 1.0, "42", "equal to the reference")


def long_task(task_id: str, samples: int, prompt_tokens: int) -> Task:
    """A training task with a prompt of that length."""
    random = np.random.default_rng(prompt_tokens)
    return Task(
        task_id,
        token_array(random.integers(3, 150_000, prompt_tokens)),
        _text(random, prompt_tokens),
        "42",
        samples=samples,
        dataset="benchmark",
    )


def long_generated(tokens: int, random: np.random.Generator, spans: int = 3) -> Generated:
    """A response of ``tokens`` tokens, sampled under ``spans`` weight versions."""
    borders = np.linspace(0, tokens, min(spans, tokens) + 1).astype(int).tolist()
    return Generated(
        token_array(random.integers(3, 150_000, tokens)),
        float_array(-random.random(tokens)),
        tuple(VersionSpan(version, start, end) for version, (start, end) in enumerate(pairwise(borders))),
        "stop",
        _text(random, tokens),
        "generator-0",
    )


def long_values(tokens: int) -> Values:
    """The critic's values of a response of that length."""
    return Values(np.full(tokens + 1, 0.25, np.float32), 3)


def training_note(tokens: int) -> dict[str, Any]:
    """What the trainer notes of a rollout (``trainer.intake.coordinator``)."""
    numbers = np.full(tokens, 0.25, np.float32)
    return {"phase": "training", "step": 1, "staleness": 1, "advantages": numbers, "values": numbers}


def _text(random: np.random.Generator, tokens: int) -> str:
    letters = random.integers(97, 123, tokens * LETTERS_PER_TOKEN).astype(np.uint8)
    return letters.tobytes().decode("ascii")
