"""The relay as a process: the trainer's uplink is used once for all replicas of a host."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.parts import Part, Parts
from tests.support.weight_fetch import http_transport
from tests.support.weight_server import WeightServer, served_bytes
from vapo.ledger import Ledger
from vapo.ledger.fleet import Member
from vapo.settings import Settings
from vapo.weights import ACTOR, CRITIC, SupersededError, WeightChannel, WeightsError, sha256_of, version_folder
from vapo.weights.transport import HttpTransport

pytestmark = pytest.mark.slow

MIB = 1 << 20
SIZE = 6 * MIB


@pytest.fixture
def settings(settings: Settings) -> Settings:
    weights = settings.weights.model_copy(update={"transport": "http", "range_bytes": 256 << 10, "stall_seconds": 5.0})
    return settings.model_copy(update={"weights": weights})


@pytest.fixture
def server(tmp_path: Path, settings: Settings) -> Iterator[WeightServer]:
    """Stands for the trainer, on a disk of its own; slow enough to be caught in the middle."""
    run = settings.run.model_copy(update={"directory": tmp_path / "trainer"})
    weights = settings.weights.model_copy(update={"serve_limit_bytes_per_second": 4 * MIB})
    server = WeightServer(tmp_path / "server", settings.model_copy(update={"run": run, "weights": weights}))
    server.start()
    yield server
    server.kill()


def announce(ledger: Ledger, server: WeightServer, version: int, size: int = SIZE) -> str:
    """Publish random bytes; returns the actor's checksum."""
    manifest = server.publish(version, size)
    WeightChannel(ledger.redis, ledger.keys).announce(manifest)
    return manifest.files[ACTOR].sha256


def beat(ledger: Ledger, server: WeightServer) -> None:
    """Enter the server into the fleet as the trainer."""
    ledger.fleet.beat(Member("trainer-test", "trainer", server.url, "READY"))


def start_relay(parts: Parts, *assignments: str) -> Part:
    """A relay that finds the trainer in the fleet."""
    return parts.start("services.relay", "ledger.heartbeat_seconds=30", *assignments)


def fetch_together(replicas: list[HttpTransport], version: int) -> list[str]:
    """Checksums of the actor each replica got."""
    digests: dict[int, str] = {}

    def fetch(number: int) -> None:
        folder, _ = replicas[number].fetch(version, only=ACTOR)
        digests[number] = sha256_of(folder / ACTOR)

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(len(replicas))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return [digests[number] for number in range(len(replicas))]


def test_three_replicas_take_one_copy_from_the_trainer(
    parts: Parts, ledger: Ledger, server: WeightServer, tmp_path: Path
) -> None:
    beat(ledger, server)
    relay = start_relay(parts, "weights.stall_seconds=1")
    digest = announce(ledger, server, 1)
    replicas = [http_transport(relay.url, tmp_path / f"host{number}") for number in range(3)]
    assert fetch_together(replicas, 1) == [digest] * 3
    assert server.served() == SIZE
    assert served_bytes(relay.url, "vapo_relay", "bytes_fetched") == SIZE
    assert served_bytes(relay.url, "vapo_relay") == 3 * SIZE
    assert ledger.fleet.members("relay")[0].url == relay.url
    # The trainer goes: who is served goes on, and a late joiner still gets what the relay has.
    server.kill()
    late = http_transport(relay.url, tmp_path / "late", stall_seconds=1.0)
    assert fetch_together([late], 1) == [digest]
    with pytest.raises(WeightsError, match=r"version 1 has no file|503"):
        late.fetch(1, only=CRITIC)  # never asked for on this host, so never fetched


def test_the_relay_resumes_and_serves_what_it_had_after_a_kill(
    parts: Parts, ledger: Ledger, server: WeightServer, tmp_path: Path
) -> None:
    source = f'weights.source_url="{server.url}"'
    digest = announce(ledger, server, 1)
    first = start_relay(parts, source)
    replica = http_transport(first.url, tmp_path / "host", stall_seconds=0.3)
    with pytest.raises(WeightsError):
        fetch_until_killed(first, replica)
    kept = server.served()
    assert 0 < kept < SIZE
    second = start_relay(parts, source)
    again = http_transport(second.url, tmp_path / "host")
    assert fetch_together([again], 1) == [digest]
    assert replica.bytes_fetched + again.bytes_fetched == SIZE
    assert server.served() <= SIZE + 8 * (256 << 10), "ranges were fetched again"


def fetch_until_killed(relay: Part, replica: HttpTransport) -> None:
    """Kill the relay once the replica has an eighth of the file."""

    def watch() -> None:
        while replica.bytes_fetched < SIZE // 8:
            over.wait(0.01)
        relay.process.kill()

    over = threading.Event()
    threading.Thread(target=watch, daemon=True).start()
    replica.fetch(1, only=ACTOR)


def test_versions_of_another_life_of_the_run_are_never_served(
    parts: Parts, ledger: Ledger, settings: Settings, server: WeightServer, tmp_path: Path
) -> None:
    """The run is started over under the same name: version 1 exists again, with other bytes."""
    relay = start_relay(parts, f'weights.source_url="{server.url}"', "weights.cache_versions=1")
    first = announce(ledger, server, 1, MIB)
    assert fetch_together([http_transport(relay.url, tmp_path / "a")], 1) == [first]
    manifest = server.publish(1, MIB + 1)
    with pytest.raises(SupersededError):
        http_transport(relay.url, tmp_path / "b").fetch(9, only=ACTOR)
    WeightChannel(ledger.redis, ledger.keys).announce(manifest)
    second = fetch_together([http_transport(relay.url, tmp_path / "c")], 1)
    assert second == [manifest.files[ACTOR].sha256] != [first]
    announce(ledger, server, 2, MIB)
    fetch_together([http_transport(relay.url, tmp_path / "d")], 2)
    assert served_bytes(relay.url, "vapo_relay", "versions_cached") == 1
    assert not version_folder(settings.relay_directory, 1).exists()
    assert httpx.get(f"{relay.url}/readyz").status_code == 200


def test_a_relay_of_a_shared_folder_is_refused(parts: Parts) -> None:
    part = parts.launch("services.relay", "weights.transport=file")
    assert part.process.wait(60) == os.EX_CONFIG
    assert "weights.transport=http" in part.process.log_tail(5)
