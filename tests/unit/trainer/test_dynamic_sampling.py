"""Which groups dynamic sampling throws away, and when it stops."""

from __future__ import annotations

from trainer.intake.dynamic_sampling import Discarded


def test_only_groups_without_disagreement_are_thrown_away() -> None:
    discarded = Discarded(limit=100)
    assert discarded.discard([True, True, True], 3)
    assert discarded.discard([False, False], 2)
    assert not discarded.discard([True, False], 2)
    assert discarded.metrics() == {"discarded_correct": 3, "discarded_wrong": 2}


def test_a_single_sample_cannot_disagree_and_stays() -> None:
    assert not Discarded(limit=100).discard([True], 1)
    assert Discarded(limit=100).discard([True], 2), "its sibling died; there is no signal"


def test_the_limit_holds_for_a_whole_step() -> None:
    discarded = Discarded(limit=5)
    assert [discarded.discard([False] * 2, 2) for _ in range(4)] == [True, True, False, False]
    assert not Discarded(limit=0).discard([True, True], 2)
