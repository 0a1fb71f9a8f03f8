"""Several token sequences laid out as micro-batches of R lines of W tokens.

Invariants:
- a sequence lies whole on one line; positions restart at 0 where a sequence starts, which is how
  transformers keeps packed sequences from attending to one another;
- padding continues the positions of the sequence before it, so that a micro-batch with one sequence
  per line needs no attention mask at all (causal attention never looks at what comes after);
- the layout depends only on the lengths: the same lengths give the same micro-batches;
- R * W never exceeds the token budget, except for a sequence longer than the budget, which gets a
  micro-batch of its own.

Dense attention costs W * W per line whatever is packed on it, so lines are as wide as the longest
sequence of their micro-batch and not wider.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and a response to it, as token ids."""

    prompt: npt.NDArray[np.int32]
    """[P] P >= 1: the state before the first response token is read at the last prompt token."""
    response: npt.NDArray[np.int32]
    """[L] generated tokens, end of sequence included; L >= 1."""

    @property
    def length(self) -> int:
        """P + L."""
        return int(self.prompt.size + self.response.size)


@dataclass(frozen=True)
class Placement:
    """Where one sequence lies in a micro-batch."""

    sequence: int
    """Index into the lengths the layout was made from."""
    line: int
    offset: int


@dataclass(frozen=True)
class Layout:
    """One micro-batch: ``lines`` x ``width`` tokens, padding included."""

    lines: int
    width: int
    placements: tuple[Placement, ...]


@dataclass(frozen=True)
class Packed:
    """The arrays of one micro-batch. Sequences are numbered in the order of ``sequences``.

    With N_s sequences and L_i response tokens each, flat indices point into the R * W tokens.
    """

    sequences: tuple[int, ...]
    """Original index of each packed sequence."""
    input_ids: Integers
    """[R, W]."""
    position_ids: Integers
    """[R, W]."""
    response_lengths: Integers
    """[N_s] L_i."""
    state_index: Integers
    """[sum(L_i + 1)] flat index of the token that precedes a_0 .. a_{L-1}, then of a_{L-1}."""
    action_index: Integers
    """[sum(L_i)] flat index of the token that precedes a_0 .. a_{L-1}."""
    actions: Integers
    """[sum(L_i)] the response tokens."""


def plan(lengths: Sequence[int], token_budget: int, flat: bool = False) -> list[Layout]:
    """Lay sequences of ``lengths`` tokens out, longest first, first fit.

    Args:
        lengths: tokens of each sequence, prompt included; all positive.
        token_budget: most tokens of a micro-batch, padding included.
        flat: one line per micro-batch, as flash attention's variable-length kernels want it.

    Returns:
        Micro-batches that hold each sequence exactly once.
    """
    waiting = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    layouts = []
    while waiting:
        layout, waiting = _fill(lengths, waiting, token_budget, flat)
        layouts.append(layout)
    return layouts


def _fill(lengths: Sequence[int], waiting: list[int], token_budget: int, flat: bool) -> tuple[Layout, list[int]]:
    """One micro-batch from the front of ``waiting``, and what is still waiting."""
    longest = lengths[waiting[0]]
    width = max(longest, token_budget) if flat else longest
    room = [width] * max(1, token_budget // width)
    placements, left = [], []
    for index in waiting:
        line = next((k for k, free in enumerate(room) if free >= lengths[index]), None)
        if line is None:
            left.append(index)
            continue
        placements.append(Placement(index, line, width - room[line]))
        room[line] -= lengths[index]
    used = sum(free < width for free in room)
    return Layout(used, width - (min(room[:used]) if flat else 0), tuple(placements)), left


def pack(layout: Layout, sequences: Sequence[TokenSequence]) -> Packed:
    """The arrays of ``layout``, a micro-batch planned from the lengths of ``sequences``."""
    shape = (layout.lines, layout.width)
    input_ids, position_ids = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    states, actions = [], []
    for place in layout.placements:
        sequence = sequences[place.sequence]
        end = place.offset + sequence.length
        input_ids[place.line, place.offset : end] = np.concatenate((sequence.prompt, sequence.response))
        # To the end of the line: a later sequence on it overwrites, else it is padding.
        position_ids[place.line, place.offset :] = np.arange(layout.width - place.offset)
        first = place.line * layout.width + place.offset + sequence.prompt.size - 1
        states.append(np.arange(first, first + sequence.response.size + 1))
        actions.append(sequence.response)
    return Packed(
        sequences=tuple(place.sequence for place in layout.placements),
        input_ids=input_ids,
        position_ids=position_ids,
        response_lengths=np.array([action.size for action in actions], np.int64),
        state_index=_flatten(states),
        action_index=_flatten([state[:-1] for state in states]),
        actions=_flatten(actions),
    )


def pack_all(sequences: Sequence[TokenSequence], token_budget: int, flat: bool = False) -> Iterator[Packed]:
    """``sequences`` as micro-batches; arguments as :func:`plan`."""
    for layout in plan([sequence.length for sequence in sequences], token_budget, flat):
        yield pack(layout, sequences)


def _flatten(parts: Sequence[npt.NDArray[np.integer]]) -> Integers:
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64, copy=False)
