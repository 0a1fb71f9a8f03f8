"""Which bytes are asked for, and when they may be used: arithmetic without a network."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from vapo.weights.ranges import ByteRange, covered, merged, missing, split, within
from vapo.weights.rate_limit import TokenBucket

SIZE = 60
ranges = st.lists(
    st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda ends: ByteRange(min(ends), max(ends))), max_size=8
)


def bytes_of(some: list[ByteRange]) -> list[int]:
    """Every byte position, as often as it is named."""
    return [position for one in some for position in range(one.start, one.end)]


@given(ranges)
def test_merged_ranges_hold_the_same_bytes_once_and_apart(some: list[ByteRange]) -> None:
    result = merged(some)
    assert bytes_of(result) == sorted(set(bytes_of(some)))
    assert all(left.end < right.start for left, right in itertools.pairwise(result))


@given(ranges, st.integers(0, SIZE))
def test_what_is_missing_completes_what_arrived(some: list[ByteRange], size: int) -> None:
    lacking = missing(size, some)
    assert bytes_of(lacking) == sorted(set(range(size)) - set(bytes_of(some)))
    assert missing(size, [*some, *lacking]) == []


@given(ranges, st.integers(1, 20))
def test_split_keeps_order_and_bytes_and_the_limit(some: list[ByteRange], most: int) -> None:
    parts = split(some, most)
    assert bytes_of(parts) == bytes_of(some)
    assert all(0 < part.size <= most for part in parts)


@given(ranges, ranges)
def test_within_and_covered_agree_with_sets(some: list[ByteRange], bounds: list[ByteRange]) -> None:
    for bound in bounds:
        inside = set(range(bound.start, bound.end))
        assert set(bytes_of(within(some, bound))) == set(bytes_of(some)) & inside
        assert covered(bound, some) == (inside <= set(bytes_of(some)))


requests = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 5000)), min_size=1, max_size=30)


@given(requests, st.integers(100, 10_000))
def test_no_more_than_the_rate_and_one_burst_is_let_through(some: list[tuple[float, int]], rate: int) -> None:
    now = 0.0
    bucket = TokenBucket(rate, clock=lambda: now)
    usable: list[tuple[float, int]] = []
    for pause, count in some:
        now += pause
        usable.append((now + bucket.reserve(count), count))
    for moment, _ in usable:
        let_through = sum(count for when, count in usable if when <= moment)
        assert let_through <= bucket.burst + rate * moment + 1e-6 * rate
    # Nor is it slower: asked for all at once, the last byte comes when the rate allows it.
    total, fresh = sum(count for _, count in some), TokenBucket(rate, clock=lambda: 0.0)
    waits = [fresh.reserve(count) for _, count in some]
    assert abs(waits[-1] - max(0.0, (total - fresh.burst) / rate)) < 1e-6


@given(requests)
def test_without_a_rate_nothing_waits(some: list[tuple[float, int]]) -> None:
    bucket = TokenBucket(None)
    assert all(bucket.reserve(count) == 0.0 for _, count in some)


@given(st.integers(65536, 10**10), st.integers(1, 64))
def test_slices_are_small_beside_the_rate(rate: int, connections: int) -> None:
    seconds_between_slices = connections * TokenBucket(rate).slice_bytes / rate
    assert seconds_between_slices <= 64 * 0.0625
