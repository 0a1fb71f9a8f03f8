"""Sets of distinct chain problems of one split, and their JSONL form.

Invariants: the same arguments give the same set; grades are balanced to within one problem;
every problem belongs to the split asked for.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from vapo.demo.chain.chain import ChainProblem, sample_problem
from vapo.demo.chain.splits import Split, digest, split_of

DEMO_TERMS = (3, 4, 5, 6)
"""Grades of the demo: what the shipped checkpoint was warmed up for."""

_DRAWS_WITHOUT_A_NEW_PROBLEM = 10_000


def problem_set(split: Split, count: int, seed: int, terms: Sequence[int] = DEMO_TERMS) -> list[ChainProblem]:
    """``count`` distinct problems of ``split``, the grades in ``terms`` taking turns.

    Raises:
        ValueError: if the split holds too few problems of a grade.
    """
    return list(islice(problem_stream(split, seed, terms), count))


def problem_stream(split: Split, seed: int, terms: Sequence[int] = DEMO_TERMS) -> Iterator[ChainProblem]:
    """Distinct problems of ``split`` without end; see :func:`problem_set`."""
    generator = random.Random(f"chain/{split}/{seed}")
    seen: set[ChainProblem] = set()
    for grade in cycle(terms):
        problem = _sample_unseen(generator, split, grade, seen)
        seen.add(problem)
        yield problem


def to_record(problem: ChainProblem) -> dict[str, Any]:
    """The JSONL form; the id follows from the text, so submitting a problem twice is harmless."""
    return {
        "id": f"chain-{digest(problem.prompt)[:16]}",
        "prompt": problem.prompt,
        "answer": str(problem.answer),
        "metadata": {"terms": problem.terms},
    }


def write_jsonl(problems: Iterable[ChainProblem], path: Path) -> None:
    """Write one record per line, UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(to_record(problem)) + "\n" for problem in problems)


def _sample_unseen(generator: random.Random, split: Split, terms: int, seen: set[ChainProblem]) -> ChainProblem:
    for _ in range(_DRAWS_WITHOUT_A_NEW_PROBLEM):
        problem = sample_problem(generator, terms)
        if problem not in seen and split_of(problem.prompt) is split:
            return problem
    raise ValueError(
        f"no new {split} problem of {terms} terms in {_DRAWS_WITHOUT_A_NEW_PROBLEM} draws after"
        f" {len(seen)} problems; ask for fewer problems or for more terms"
    )
