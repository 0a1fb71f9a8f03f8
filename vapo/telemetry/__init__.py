"""Logging for people, metrics for Prometheus, and logs that repeated faults do not flood."""

from __future__ import annotations

from vapo.telemetry.telemetry import CollectorRegistry, MappingCollector, configure_logging, new_registry

__all__ = ["CollectorRegistry", "MappingCollector", "configure_logging", "new_registry"]
