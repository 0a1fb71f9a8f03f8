"""Metrics for Prometheus.

Invariant: metric names start with ``vapo_`` and end with their unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


def new_registry() -> CollectorRegistry:
    """A registry with this process's CPU, memory and descriptors in it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


ReadNumbers = Callable[[], Mapping[str, Any]]


class MappingCollector(Collector):
    """Shows a mapping of name to number as gauges ``{prefix}_{name}``, read on each scrape."""

    def __init__(self, prefix: str, documentation: str, read: ReadNumbers) -> None:
        self._prefix, self._documentation, self._read = prefix, documentation, read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge for each number of the mapping."""
        for name, value in self._read().items():
            if isinstance(value, (int, float)):
                safe = "".join(c if c.isalnum() else "_" for c in name)
                yield GaugeMetricFamily(f"{self._prefix}_{safe}", self._documentation, value=value)
