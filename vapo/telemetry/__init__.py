"""Logging for people, metrics for Prometheus, and logs that repeated faults do not flood."""

from __future__ import annotations

from vapo.telemetry.log_form import configure_logging
from vapo.telemetry.metrics import MappingCollector, new_registry

__all__ = ["MappingCollector", "configure_logging", "new_registry"]
