"""A seed of its own for every sample, the same whenever and wherever the sample is generated."""

from __future__ import annotations

import hashlib

SEED_BITS = 63
"""vLLM's seeds are signed 64-bit integers."""


def sample_seed(run_seed: int, task_id: str, sample: int) -> int:
    """Seed in [0, 2^63) from the run's seed, the task's id and the sample's index."""
    text = f"{run_seed}\x00{task_id}\x00{sample}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - SEED_BITS)
