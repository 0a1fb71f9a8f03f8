"""Tests in several processes (pytest-xdist): how many, and in which order. `make test` runs so; `-n0` undoes it.

Invariants:
- the tests of a file stay in one process, in their order, and share its fixtures;
- files that start a real engine begin first, then other slow ones, so that no process is left with a long
  file at the end.
"""

from __future__ import annotations

import os

import psutil
import pytest

BYTES_A_PROCESS = 3 * 2**30
"""Of memory: a whole stack with a small model needs about this."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: one more than there are cores, as many tests wait; fewer where memory is short."""
    return max(1, min(len(os.sched_getaffinity(0)) + 1, psutil.virtual_memory().available // BYTES_A_PROCESS))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the longest files to the front, in each process of xdist alike."""
    if hasattr(config, "workerinput"):
        rank: dict[str, int] = {}
        for item in items:
            file = item.nodeid.partition("::")[0]
            rank[file] = min(rank.get(file, 2), _rank(item))
        items.sort(key=lambda item: rank[item.nodeid.partition("::")[0]])


def _rank(item: pytest.Item) -> int:
    return 0 if item.get_closest_marker("vllm") else 1 if item.get_closest_marker("slow") else 2
