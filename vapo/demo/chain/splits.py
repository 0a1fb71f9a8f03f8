"""Which split a chain problem belongs to: decided by its text alone.

Invariant: a problem has exactly one split, so warm-up, training and held-out problems are
disjoint by construction, whatever the seeds and sizes of the sets.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

from vapo.demo.chain.chain import normalised

_BUCKETS = 10


class Split(StrEnum):
    """Use of a problem."""

    WARM_UP = "warm_up"
    """Supervised demonstrations of the base checkpoint."""
    TRAIN = "train"
    """Prompts of reinforcement learning."""
    HELD_OUT = "held_out"
    """Measurement only."""


_SPLIT_OF_BUCKET = (Split.HELD_OUT, *[Split.TRAIN] * 4, *[Split.WARM_UP] * 5)


def digest(text: str) -> str:
    """SHA-256 of the normalised problem text, 64 hexadecimal digits."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()


def split_of(text: str) -> Split:
    """The split of a problem: a tenth is held out, four tenths train, half warm up."""
    return _SPLIT_OF_BUCKET[int(digest(text), 16) % _BUCKETS]
