"""avg@k, pass@k, maj@k against worked examples and brute force."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.scores import average_at_k, majority_at_k, pass_at_k, pass_sizes, standard_error


def test_average_and_its_standard_error() -> None:
    correct = [(4, 4), (0, 4), (2, 4), (2, 4)]
    assert average_at_k(correct) == 0.5
    assert standard_error(correct) == pytest.approx(math.sqrt(((0.5**2) * 2) / 3) / 2)
    assert standard_error([(1, 4)]) == 0.0


@given(
    st.integers(1, 7).flatmap(
        lambda samples: st.tuples(st.just(samples), st.integers(0, samples), st.integers(1, samples))
    )
)
def test_pass_at_k_is_the_share_of_subsets_with_a_hit(case: tuple[int, int, int]) -> None:
    samples, hits, k = case
    outcomes = [True] * hits + [False] * (samples - hits)
    subsets = list(itertools.combinations(outcomes, k))
    assert pass_at_k([(hits, samples)], k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_needs_k_samples() -> None:
    with pytest.raises(ValueError, match="pass@4 needs at least 4"):
        pass_at_k([(1, 3)], 4)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([("7", True), ("7", True), ("8", False)], 1.0),
        ([("7", True), ("8", False), ("8", False)], 0.0),
        ([("7", True), ("8", False)], 0.5),
        ([("7", True), (None, False), (None, False)], 1.0),
        ([(None, False)], 0.0),
    ],
)
def test_majority(samples: list[tuple[str | None, bool]], expected: float) -> None:
    assert majority_at_k([samples]) == expected


@pytest.mark.parametrize(
    ("samples", "sizes"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (32, [1, 2, 4, 8, 16, 32])]
)
def test_sizes_worth_telling(samples: int, sizes: list[int]) -> None:
    assert pass_sizes(samples) == sizes
