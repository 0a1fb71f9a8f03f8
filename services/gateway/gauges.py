"""Prometheus gauges of the run: queues, totals, the newest training step."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from redis.exceptions import RedisError

from vapo.ledger import Ledger
from vapo.telemetry import MappingCollector, new_registry

logger = logging.getLogger(__name__)


def gateway_registry(ledger: Ledger) -> CollectorRegistry:
    """A registry that reads the ledger on each scrape; without Redis it shows the process only."""
    registry = new_registry()
    for prefix, documentation, read in (
        ("vapo_queue_length", "Ids waiting or leased", ledger.depths),
        ("vapo_total", "Total since the run began", ledger.counters),
        ("vapo_training", "Newest training step", lambda: _newest_step(ledger)),
    ):
        registry.register(MappingCollector(prefix, documentation, _forgiving(read)))
    return registry


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
