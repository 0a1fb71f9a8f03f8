"""How fast a version reaches replicas: shared folder, HTTP from the trainer, HTTP over a relay.

    OMP_NUM_THREADS=1 python -m lab.benchmarks.weight_transport [--megabytes 512] [--replicas 3]

Everything runs on loopback with real processes: the server of weights stands for the trainer, the
relay is `python -m services.relay` with a private Redis, each replica is a process. All times
include the check of the SHA-256, which each replica makes, and not the start of Python. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.parts import Parts
from tests.support.running_redis import RunningRedis
from tests.support.weight_fetch import transport_of
from tests.support.weight_server import WeightServer, served_bytes
from vapo.ledger.connection import connect
from vapo.ledger.keys import Keys
from vapo.settings import Settings
from vapo.weights import ACTOR, FileTransport, Transport, WeightChannel, sha256_of, version_folder

DEADLINE_SECONDS = 600.0
MEGABYTE = 1_000_000


def main() -> None:
    """Print a row for each way, and JSON."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        rows = measure(Path(folder), arguments.megabytes * MEGABYTE, arguments.replicas)
    print(f"{'way':26s} {'seconds':>8s} {'MB/s each':>10s} {'copies from the trainer':>24s}")
    for row in rows:
        print(f"{row['way']:26s} {row['seconds']:8.2f} {row['megabytes_per_second']:10.0f} {row['copies']:24.2f}")
    print(json.dumps({"megabytes": arguments.megabytes, "replicas": arguments.replicas, "rows": rows}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=512, help="size of the actor's file")
    parser.add_argument("--replicas", type=int, default=3, help="replicas that fetch together")
    parser.add_argument("--directory", type=Path, help="where to put all files, e.g. /dev/shm")
    return parser.parse_args()


def measure(folder: Path, size: int, replicas: int) -> list[dict[str, Any]]:
    """Time every way, one after another."""
    with ExitStack() as running:
        redis = RunningRedis(folder / "redis")
        redis.start()
        running.callback(redis.stop)
        settings = _settings(folder, redis)
        server = WeightServer(folder / "server", settings)
        manifest = server.publish(1, size)
        client = connect(redis.settings)
        running.callback(client.close)
        WeightChannel(client, Keys(settings.run.name)).announce(manifest)
        server.start()
        running.callback(server.kill)
        actor = version_folder(server.directory, 1) / ACTOR
        rows = [_row("SHA-256 alone", size, 1, lambda number: sha256_of(actor))]
        rows.append(_row("file", size, 1, lambda number: fetch(FileTransport(server.directory))))
        for count in sorted({1, replicas}):
            rows.append(_over_http(folder, settings, server, size, count))
        for count in sorted({1, replicas}):
            rows.append(_over_relay(folder / f"relay{count}", settings, server, size, count))
    return rows


def _settings(folder: Path, redis: RunningRedis) -> Settings:
    return Settings.model_validate(
        {
            "run": {"name": "benchmark", "directory": folder / "trainer"},
            "redis": redis.settings.model_dump(),
            "weights": {"transport": "http"},
        }
    )


def fetch(transport: Transport) -> None:
    """What a replica does before it loads."""
    transport.fetch(1, only=ACTOR)
    transport.close()


def _over_http(folder: Path, settings: Settings, server: WeightServer, size: int, count: int) -> dict[str, Any]:
    before = server.served()
    row = _row(
        f"http, {count} replica(s)",
        size,
        count,
        lambda number: fetch(transport_of(server.url, folder / f"http{count}-{number}", settings.weights)),
    )
    return row | {"copies": (server.served() - before) / size}


def _over_relay(folder: Path, settings: Settings, server: WeightServer, size: int, count: int) -> dict[str, Any]:
    before = server.served()
    with _relay(folder, settings, server) as url:
        row = _row(
            f"relay, {count} replica(s)",
            size,
            count,
            lambda number: fetch(transport_of(url, folder / f"replica{number}", settings.weights)),
        )
        fetched = served_bytes(url, "vapo_relay", "bytes_fetched")
    assert fetched == server.served() - before
    return row | {"copies": fetched / size}


@contextmanager
def _relay(folder: Path, settings: Settings, server: WeightServer) -> Iterator[str]:
    parts = Parts(settings, folder)
    try:
        yield parts.start(
            "services.relay", f'weights.source_url="{server.url}"', f'relay.directory="{folder / "relay"}"'
        ).url
    finally:
        parts.stop()


def _row(way: str, size: int, count: int, work: Callable[[int], object]) -> dict[str, Any]:
    """Run ``work`` in ``count`` processes at once; seconds until the last has its file."""
    seconds = _together(count, work)
    return {
        "way": way,
        "seconds": max(seconds),
        "median_seconds": statistics.median(seconds),
        "megabytes_per_second": size / MEGABYTE / max(seconds),
        "copies": 0.0,
    }


def _together(count: int, work: Callable[[int], object]) -> list[float]:
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(count), context.SimpleQueue()

    def replica(number: int) -> None:
        ready.wait(DEADLINE_SECONDS)
        started = time.monotonic()
        work(number)
        results.put(time.monotonic() - started)

    processes = [context.Process(target=replica, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(DEADLINE_SECONDS)
        assert process.exitcode == 0, "a replica failed; its error is above"
    return [results.get() for _ in processes]


if __name__ == "__main__":
    main()
