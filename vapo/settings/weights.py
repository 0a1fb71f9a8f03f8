"""Sections of how weights travel from the trainer to the replicas."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from vapo.settings.section import PartSection, Port, Section
from vapo.settings.transports import TRANSPORTS

HTTP_URL = r"^https?://[^/?#\s]+/?$"


class WeightsSettings(Section):
    """How published weights reach the replicas. All are our choice."""

    transport: Literal["file", "http"] = "file"
    """``file``: a folder all parts share; ``http``: from the trainer, or from a host's relay."""
    source_url: str | None = Field(None, pattern=HTTP_URL)
    """Trainer's base URL; by default the one in the fleet."""
    relay_url: str | None = Field(None, pattern=HTTP_URL)
    """Relay of this host (``vapo relay``), asked instead of the trainer. The relay itself never
    asks it, so that all parts of a host can have the same settings."""
    parallel_ranges: int = Field(4, ge=1, le=64)
    """Ranges of a file fetched at a time, each over a connection of its own."""
    range_bytes: int = Field(16 * 2**20, ge=4096)
    """Largest range asked for at a time."""
    fetch_limit_bytes_per_second: int | None = Field(None, ge=65536)
    """Most one fetching process (replica or relay) takes; None: no limit."""
    serve_limit_bytes_per_second: int | None = Field(None, ge=65536)
    """Most the trainer gives to all that fetch, together; None: no limit."""
    stall_seconds: float = Field(10.0, gt=0)
    """A connection silent for this long is dropped and its range asked for again; after three
    times this without a byte the fetch is given up until the next try, which goes on from there."""
    deadline_seconds: float = Field(1800.0, gt=0)
    """Longest fetch of one file, interruptions included; what has arrived is kept."""
    cache_directory: Path | None = None
    """Where fetched versions lie; by default ``weights-cache`` in the run's folder. Replicas of one
    host that share it fetch each file once between them."""
    cache_versions: int = Field(2, ge=1)
    """Fetched versions kept there, the most recently used."""

    @model_validator(mode="after")
    def _only_http_fetches(self) -> WeightsSettings:
        for name in (
            "source_url",
            "relay_url",
            "cache_directory",
            "fetch_limit_bytes_per_second",
            "serve_limit_bytes_per_second",
        ):
            value = getattr(self, name)
            if value is not None and not TRANSPORTS[self.transport].is_served:
                raise ValueError(
                    f"weights.{name}={value} has no effect with weights.transport="
                    f"{self.transport}; set weights.transport=http or leave it out"
                )
        if self.source_url and self.relay_url and _same_url(self.source_url, self.relay_url):
            raise ValueError(
                f"weights.relay_url={self.relay_url} is weights.source_url; a relay "
                "asks the trainer, so they differ: leave one out"
            )
        return self


class RelaySettings(PartSection):
    """One host's relay of weights: fetches each file once, for all replicas of the host."""

    port: Port = 8005
    directory: Path | None = None
    """Where the relay keeps versions; by default ``weights-relay`` in the run's folder."""
    serve_limit_bytes_per_second: int | None = Field(None, ge=65536)
    """Most the relay gives to all replicas together; None: no limit."""


def _same_url(first: str, second: str) -> bool:
    return first.rstrip("/") == second.rstrip("/")
