from __future__ import annotations

import json
from collections import Counter
from itertools import combinations, islice
from pathlib import Path

import pytest

from vapo.demo.chain.__main__ import main
from vapo.demo.chain.chain import parse_problem
from vapo.demo.chain.problem_sets import DEMO_TERMS, problem_set, problem_stream, to_record
from vapo.demo.chain.splits import Split, digest, split_of


def test_same_seed_same_set_and_other_seed_other_set() -> None:
    first = problem_set(Split.TRAIN, 100, seed=3)
    assert first == problem_set(Split.TRAIN, 100, seed=3)
    assert first != problem_set(Split.TRAIN, 100, seed=4)


def test_a_longer_set_extends_a_shorter_one() -> None:
    assert problem_set(Split.TRAIN, 50, seed=1) == problem_set(Split.TRAIN, 80, seed=1)[:50]


def test_grades_are_balanced_and_problems_distinct() -> None:
    problems = problem_set(Split.HELD_OUT, 400, seed=0, terms=(3, 5))
    assert Counter(problem.terms for problem in problems) == {3: 200, 5: 200}
    assert len(set(problems)) == 400


def test_splits_are_disjoint_whatever_the_seed() -> None:
    digests = {
        split: {
            digest(problem.prompt) for seed in range(3) for problem in problem_set(split, 2_000, seed, terms=(2, 3, 4))
        }
        for split in Split
    }
    for one, other in combinations(Split, 2):
        assert digests[one].isdisjoint(digests[other])


def test_split_is_decided_by_the_normalised_text() -> None:
    for split in Split:
        for problem in islice(problem_stream(split, seed=5), 50):
            spaced = problem.prompt.replace("+", " + ") + "\n"
            assert split_of(problem.prompt) is split_of(spaced) is split


def test_split_does_not_move_between_versions() -> None:
    """Checkpoints already shipped were warmed up on this division."""
    assert split_of("58+48-29=?") is Split.TRAIN
    held_out = [problem.prompt for problem in problem_set(Split.HELD_OUT, 2, seed=0)]
    assert held_out == ["66-13+83=?", "68+99-71-57=?"]


def test_an_exhausted_split_says_so() -> None:
    with pytest.raises(ValueError, match="ask for fewer problems or for more terms"):
        problem_set(Split.HELD_OUT, 2_000, seed=0, terms=(2,))


def test_command_line_writes_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "held_out.jsonl"
    main(["--split", "held_out", "--count", "8", "--seed", "2", "--out", str(path)])
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert records == [to_record(p) for p in problem_set(Split.HELD_OUT, 8, seed=2)]
    assert [record["metadata"]["terms"] for record in records] == [*DEMO_TERMS, *DEMO_TERMS]
    for record in records:
        assert set(record) == {"id", "prompt", "answer", "metadata"}
        assert str(parse_problem(record["prompt"]).answer) == record["answer"]
    assert len({record["id"] for record in records}) == 8
