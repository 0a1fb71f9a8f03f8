"""Prometheus gauges of the run: queues, totals, the newest training step."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from vapo.ledger import Ledger
from vapo.ledger.keys import TASK_STAGES
from vapo.telemetry import MappingCollector

logger = logging.getLogger(__name__)


def add_gauges(registry: CollectorRegistry, ledger: Ledger) -> None:
    """Have the ledger read on each scrape; without Redis there are no gauges."""
    for prefix, documentation, read in (
        ("vapo_queue_length", "Ids waiting or leased", ledger.depths),
        ("vapo_generation", "Work for generators", lambda: generation_work(ledger.depths())),
        ("vapo_total", "Total since the run began", ledger.counters),
        ("vapo_training", "Newest training step", lambda: _newest_step(ledger)),
    ):
        registry.register(MappingCollector(prefix, documentation, _forgiving(read)))


def generation_work(depths: Mapping[str, int]) -> dict[str, int]:
    """``tasks``: admitted tasks that generators have in hand or would take if there were more.

    The number to scale generators by: tasks the trainer has no room for yet are in the backlog and
    do not count, since more generators would not make them begin sooner.
    """
    stages = [str(stage) for stage in TASK_STAGES]
    return {"tasks": sum(depths[stage] + depths[f"{stage}_leased"] for stage in stages)}


def _newest_step(ledger: Ledger) -> dict[str, Any]:
    rows = ledger.journal.metrics(last=1)
    if not rows:
        return {}
    return {**rows[0], "seconds_since_step": time.time() - rows[0]["at"]}


def _forgiving(read: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def read_or_nothing() -> dict[str, Any]:
        try:
            return read()
        except RedisError as error:
            logger.warning("metrics of the run are not available: %s", error)
            return {}

    return read_or_nothing
