"""Weights over real HTTP between real processes: cut, killed, damaged, limited, superseded."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cutting_proxy import CuttingProxy
from tests.support.waiting import wait_until
from tests.support.weight_fetch import http_transport
from tests.support.weight_server import WeightServer
from vapo.settings import Settings
from vapo.weights import ACTOR, CRITIC, SupersededError, WeightsError, version_folder
from vapo.weights import cache as cache_module
from vapo.weights.rate_limit import TokenBucket
from vapo.weights.transport import HttpTransport

MIB = 1 << 20
SIZE = 8 * MIB
LIMIT = 4 * MIB
HEADS = 1.05
"""Bytes a proxy sees over bytes of the file: heads of requests in ranges of 256 KiB."""


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., WeightServer]]:
    started: list[WeightServer] = []

    def make(**weights: Any) -> WeightServer:
        settings = Settings.model_validate(
            {"run": {"directory": tmp_path / "trainer"}, "weights": {"transport": "http", **weights}}
        )
        server = WeightServer(tmp_path / f"server{len(started)}", settings)
        started.append(server)
        server.start()
        return server

    yield make
    for server in started:
        server.kill()


@pytest.fixture
def make_proxy() -> Iterator[Callable[..., CuttingProxy]]:
    started: list[CuttingProxy] = []

    def make(server: WeightServer, **harm: Any) -> CuttingProxy:
        started.append(CuttingProxy(server.port, **harm))
        return started[-1]

    yield make
    for proxy in started:
        proxy.close()


def same_bytes(server: WeightServer, cache: Path, version: int, name: str = ACTOR) -> bool:
    """Whether the cache holds the file as it was published, and nothing of a transfer is left."""
    folder = version_folder(cache, version)
    left = [path.name for path in folder.iterdir() if path.suffix in (".partial", ".arrived")]
    published = version_folder(server.directory, version) / name
    return not left and (folder / name).read_bytes() == published.read_bytes()


def test_a_consumer_gets_its_own_file_and_no_other(make_server: Callable[..., WeightServer], tmp_path: Path) -> None:
    server = make_server()
    published = server.publish(1, SIZE + 12345, critic_bytes=300_000)
    folder, manifest = http_transport(server.url, tmp_path / "a").fetch(1, only=CRITIC)
    assert manifest == published
    assert same_bytes(server, tmp_path / "a", 1, CRITIC)
    assert not (folder / ACTOR).exists()
    assert server.served() == 300_000
    transport = http_transport(server.url, tmp_path / "b")
    for _ in range(2):  # the second time it is there already
        transport.fetch(1)
        assert same_bytes(server, tmp_path / "b", 1)
        assert server.served() == 300_000 + SIZE + 12345 + 300_000


def test_after_cuts_only_what_is_missing_is_asked_for(
    make_server: Callable[..., WeightServer], make_proxy: Callable[..., CuttingProxy], tmp_path: Path
) -> None:
    server = make_server()
    server.publish(1, SIZE)
    proxy = make_proxy(server, cuts=(MIB, 3 * MIB, 6 * MIB))
    transport = http_transport(proxy.url, tmp_path / "cache")
    transport.fetch(1, only=ACTOR)
    assert proxy.cut == 3
    assert same_bytes(server, tmp_path / "cache", 1)
    assert transport.bytes_fetched == SIZE, "some bytes were taken twice"
    # What a reset finds in sockets' buffers is lost: at most a few ranges each time.
    assert proxy.passed < HEADS * SIZE + 3 * MIB


def test_the_server_is_killed_in_the_middle_and_comes_back(
    make_server: Callable[..., WeightServer], tmp_path: Path
) -> None:
    server = make_server(serve_limit_bytes_per_second=LIMIT)
    server.publish(1, SIZE)
    transport = http_transport(server.url, tmp_path / "cache")
    done = threading.Thread(target=transport.fetch, args=(1, ACTOR), daemon=True)
    done.start()
    wait_until(lambda: transport.bytes_fetched > SIZE // 4)
    server.kill()
    before = transport.bytes_fetched
    assert before < SIZE
    server.start()
    done.join(60)
    assert same_bytes(server, tmp_path / "cache", 1)
    assert transport.bytes_fetched == SIZE
    assert server.served() <= SIZE - before + 65536 * 4


def test_the_replica_is_killed_in_the_middle_and_comes_back(
    make_server: Callable[..., WeightServer], tmp_path: Path
) -> None:
    server = make_server(serve_limit_bytes_per_second=LIMIT)
    server.publish(1, SIZE)
    cache = tmp_path / "cache"
    small = "weights.range_bytes=65536"
    words = [sys.executable, "-m", "tests.support.weight_fetch", server.url, str(cache), "1", small]
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    wait_until(lambda: server.served() > SIZE // 4)
    first.kill()
    first.wait(10)
    assert not (version_folder(cache, 1) / ACTOR).exists()
    transport = http_transport(server.url, cache)
    transport.fetch(1, only=ACTOR)
    assert same_bytes(server, cache, 1)
    # Of the quarter that had come, all but the four ranges in flight is still used.
    assert transport.bytes_fetched <= SIZE - SIZE // 4 + 5 * 65536


def test_a_changed_byte_is_found_and_the_file_fetched_once_more(
    make_server: Callable[..., WeightServer], make_proxy: Callable[..., CuttingProxy], tmp_path: Path
) -> None:
    server = make_server()
    server.publish(1, SIZE)
    proxy = make_proxy(server, flip_at=SIZE // 2)
    transport = http_transport(proxy.url, tmp_path / "cache", parallel_ranges=1, range_bytes=2 * SIZE)
    transport.fetch(1, only=ACTOR)
    assert same_bytes(server, tmp_path / "cache", 1)
    assert transport.bytes_fetched == 2 * SIZE


def test_wrong_bytes_are_refused_and_not_fetched_over_and_over(
    make_server: Callable[..., WeightServer], tmp_path: Path
) -> None:
    server = make_server()
    server.publish(1, MIB)
    with (version_folder(server.directory, 1) / ACTOR).open("r+b") as file:
        file.write(b"damage")
    transport = http_transport(server.url, tmp_path / "cache")
    for _ in range(3):
        with pytest.raises(WeightsError, match=r"actor\.safetensors of version 1 .*damaged"):
            transport.fetch(1, only=ACTOR)
    assert not (version_folder(tmp_path / "cache", 1) / ACTOR).exists()
    assert server.served() == 2 * MIB


def test_a_version_removed_in_the_middle_is_superseded(
    make_server: Callable[..., WeightServer], tmp_path: Path
) -> None:
    server = make_server(serve_limit_bytes_per_second=LIMIT)
    server.publish(1, SIZE)
    transport = http_transport(server.url, tmp_path / "cache")
    errors: list[Exception] = []

    def fetch() -> None:
        try:
            transport.fetch(1, ACTOR)
        except WeightsError as error:
            errors.append(error)

    reader = threading.Thread(target=fetch, daemon=True)
    reader.start()
    wait_until(lambda: transport.bytes_fetched > SIZE // 8)
    version_folder(server.directory, 1).rename(tmp_path / "removed")
    reader.join(60)
    assert [type(error) for error in errors] == [SupersededError]
    assert "newest" in str(errors[0])
    server.publish(2, MIB)
    transport.fetch(2, only=ACTOR)
    assert same_bytes(server, tmp_path / "cache", 2)


def test_replicas_that_share_a_cache_fetch_once(make_server: Callable[..., WeightServer], tmp_path: Path) -> None:
    server = make_server(serve_limit_bytes_per_second=LIMIT)
    server.publish(1, 2 * MIB)
    replicas = [http_transport(server.url, tmp_path / "cache") for _ in range(3)]
    fetches = [fetch_in_background(replica) for replica in replicas]
    for fetch in fetches:
        fetch.join(60)
    assert sorted(replica.bytes_fetched for replica in replicas) == [0, 0, 2 * MIB]
    assert server.served() == 2 * MIB
    assert same_bytes(server, tmp_path / "cache", 1)


def test_limits_count_every_byte(
    make_server: Callable[..., WeightServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bucket makes of the counts is tested with a clock of its own."""
    reserved: list[int] = []

    class Recording(TokenBucket):
        def reserve(self, count: int) -> float:
            reserved.append(count)
            return super().reserve(count)

    monkeypatch.setattr(cache_module, "TokenBucket", Recording)
    server = make_server()
    server.publish(1, MIB)
    transport = http_transport(server.url, tmp_path / "cache", fetch_limit_bytes_per_second=1 << 30)
    transport.fetch(1, only=ACTOR)
    assert sum(reserved) == MIB
    assert max(reserved) <= 256 << 10


def test_silence_ends_a_fetch_by_name_and_closing_ends_it_at_once(
    make_server: Callable[..., WeightServer], tmp_path: Path
) -> None:
    server = make_server(serve_limit_bytes_per_second=LIMIT)
    server.publish(1, SIZE)
    transport = http_transport(server.url, tmp_path / "cache", stall_seconds=0.2)
    reader = fetch_in_background(transport)
    wait_until(lambda: transport.bytes_fetched > SIZE // 8)
    server.kill()
    reader.join(30)
    assert not reader.is_alive()
    with pytest.raises(WeightsError, match=server.url):
        transport.fetch(1, only=ACTOR)
    server.start()
    reader = fetch_in_background(transport)
    wait_until(lambda: transport.bytes_fetched > SIZE // 4)
    transport.close()
    reader.join(30)
    assert not reader.is_alive()
    assert transport.bytes_fetched < SIZE
    with pytest.raises(WeightsError, match="stopping"):
        transport.fetch(1, only=ACTOR)


def fetch_in_background(transport: HttpTransport) -> threading.Thread:
    """A fetch whose failure is expected."""

    def fetch() -> None:
        try:
            transport.fetch(1, only=ACTOR)
        except WeightsError:
            return

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    return thread
