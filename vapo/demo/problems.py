"""The demo's problems as rows for the gateway.

Invariant: training and held-out problems are disjoint, by the hash of their text
(`vapo.demo.chain.splits`), from one another and from the base checkpoint's demonstrations.
"""

from __future__ import annotations

import json
from typing import Any

from vapo.demo.chain.problem_sets import problem_set, to_record
from vapo.demo.chain.splits import Split
from vapo.demo.settings import DemoOptions

HELD_OUT_SEED = 0
"""The held-out set is the same for every seed of the demo, so that runs can be compared."""


def training_rows(options: DemoOptions) -> list[dict[str, Any]]:
    """Problems to train on; their choice and order follow from the seed."""
    return rows(Split.TRAIN, options.train_problems, options.seed)


def held_out_rows(options: DemoOptions) -> list[dict[str, Any]]:
    """Problems to measure on."""
    return rows(Split.HELD_OUT, options.held_out_problems, HELD_OUT_SEED)


def rows(split: Split, count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of `POST /v1/prompts`."""
    return [to_record(problem) for problem in problem_set(split, count, seed)]


def as_jsonl(problems: list[dict[str, Any]]) -> bytes:
    """One JSON object a line."""
    return "".join(json.dumps(row) + "\n" for row in problems).encode()
