"""Layouts hold every sequence once, whole, inside the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vapo.model.packing import TokenSequence, pack, plan

lengths_strategy = st.lists(st.integers(2, 40), min_size=1, max_size=30)


@given(lengths_strategy, st.integers(2, 200), st.booleans())
def test_every_sequence_is_placed_once_without_overlap(lengths: list[int], budget: int, flat: bool) -> None:
    layouts = plan(lengths, budget, flat)
    placed = sorted(place.sequence for layout in layouts for place in layout.placements)
    assert placed == list(range(len(lengths)))
    for layout in layouts:
        cells = np.zeros((layout.lines, layout.width), int)
        for place in layout.placements:
            end = place.offset + lengths[place.sequence]
            assert end <= layout.width
            cells[place.line, place.offset : end] += 1
        assert cells.max() == 1
        assert (cells.sum(axis=1) > 0).all()


@given(lengths_strategy, st.integers(2, 200), st.booleans())
def test_the_token_budget_holds_unless_one_sequence_exceeds_it(lengths: list[int], budget: int, flat: bool) -> None:
    for layout in plan(lengths, budget, flat):
        size = layout.lines * layout.width
        assert size <= budget or len(layout.placements) == 1
        assert not flat or layout.lines == 1


@given(lengths_strategy, st.integers(2, 200))
def test_indices_point_at_the_position_before_each_token(lengths: list[int], budget: int) -> None:
    random = np.random.default_rng(len(lengths))
    sequences = []
    for length in lengths:
        tokens = random.integers(1, 1000, length).astype(np.int32)
        cut = int(random.integers(1, length))
        sequences.append(TokenSequence(tokens[:cut], tokens[cut:]))
    for layout in plan(lengths, budget):
        packed = pack(layout, sequences)
        ids, positions = packed.input_ids.ravel(), packed.position_ids.ravel()
        expected_before, expected_position = [], []
        for index in packed.sequences:
            whole = np.concatenate((sequences[index].prompt, sequences[index].response))
            first = sequences[index].prompt.size - 1
            expected_before.extend(whole[first:-1])
            expected_position.extend(range(first, whole.size - 1))
        assert ids[packed.action_index].tolist() == expected_before
        assert positions[packed.action_index].tolist() == expected_position
        assert (
            packed.actions.tolist()
            == np.concatenate([sequences[index].response for index in packed.sequences]).tolist()
        )


def test_padding_continues_positions_so_that_one_sequence_per_line_needs_no_mask() -> None:
    sequences = [TokenSequence(np.array([5], np.int32), np.arange(n, dtype=np.int32) + 1) for n in (7, 4)]
    (layout,) = plan([8, 5], 16)
    assert pack(layout, sequences).position_ids.tolist() == [list(range(8))] * 2
