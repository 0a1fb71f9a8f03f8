"""Fetches one version over HTTP as a replica does; a process of its own, to be run or killed.

    python -m tests.support.weight_fetch URL FOLDER VERSION [section.key=value ...]

Prints one JSON object: the bytes fetched, and the error if there was one. What it tries again stands on stderr.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vapo.service import service_headers
from vapo.settings import WeightsSettings, load_settings
from vapo.weights import ACTOR, WeightsError
from vapo.weights.cache import WeightCache
from vapo.weights.source import WeightSource
from vapo.weights.transport import HttpTransport


def http_transport(url: str, folder: Path, **changes: Any) -> HttpTransport:
    """A replica's transport from ``url`` into ``folder``, with many small ranges."""
    small: dict[str, Any] = {"transport": "http", "range_bytes": 256 << 10, "stall_seconds": 5.0}
    return transport_of(url, folder, WeightsSettings.model_validate(small | changes))


def transport_of(
    url: str, folder: Path, settings: WeightsSettings, headers: Mapping[str, str] = MappingProxyType({})
) -> HttpTransport:
    """A transport that asks ``url`` and takes any manifest, as there is no Redis to ask."""
    source = WeightSource(lambda: url, headers, settings.stall_seconds, settings.parallel_ranges)
    return HttpTransport(WeightCache(folder, source, lambda version: None, settings), source)


def main(url: str, folder: str, version: str, *assignments: str) -> None:
    """Fetch the actor and tell what came of it."""
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("vapo.weights").setLevel(logging.DEBUG)
    settings = load_settings(assignments=["weights.transport=http", *assignments], environment={})
    transport = transport_of(url, Path(folder), settings.weights, service_headers(settings))
    error = None
    try:
        transport.fetch(int(version), only=ACTOR)
    except WeightsError as failure:
        error = f"{type(failure).__name__}: {failure}"
    print(json.dumps({"bytes_fetched": transport.bytes_fetched, "error": error}))


if __name__ == "__main__":
    main(*sys.argv[1:])
