"""Two hosts that share nothing but a cable: network namespaces, and the cable is pulled.

Needs root and iproute2. Everything happens inside namespaces that the test makes and removes; the
addresses exist only in them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.weight_server import WeightServer
from vapo.settings import Settings
from vapo.weights import ACTOR, sha256_of, version_folder
from vapo.weights.manifest import MANIFEST

MIB = 1 << 20
SIZE = 6 * MIB
TRAINER_ADDRESS, REPLICA_ADDRESS = "10.231.77.1", "10.231.77.2"


def why_not() -> str | None:
    """Why namespaces cannot be made here; None when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command ip (iproute2)"
    name = f"vapo-probe-{uuid.uuid4().hex[:8]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"this machine makes no network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


@dataclass(frozen=True)
class Hosts:
    """Two namespaces with a cable between them."""

    trainer: str
    replica: str

    def inside(self, host: str) -> tuple[str, ...]:
        """Words before a command that is to run on ``host``."""
        return "ip", "netns", "exec", host

    def cable(self, state: str) -> None:
        """Pull the cable (``down``) or plug it in (``up``), at the trainer's end."""
        ip("-n", self.trainer, "link", "set", "cable0", state)

    def unreachable(self, state: bool) -> None:
        """Let the replica's kernel answer each packet to the trainer with "No route to host", or no longer."""
        ip("-n", self.replica, "route", "add" if state else "delete", "unreachable", f"{TRAINER_ADDRESS}/32")


def ip(*words: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if reason := why_not():
        pytest.skip(reason)
    unique = uuid.uuid4().hex[:8]
    hosts = Hosts(f"vapo-trainer-{unique}", f"vapo-replica-{unique}")
    try:
        for host in (hosts.trainer, hosts.replica):
            ip("netns", "add", host)
        ip(
            "-n",
            hosts.trainer,
            "link",
            "add",
            "cable0",
            "type",
            "veth",
            "peer",
            "name",
            "cable0",
            "netns",
            hosts.replica,
        )
        for host, address in ((hosts.trainer, TRAINER_ADDRESS), (hosts.replica, REPLICA_ADDRESS)):
            ip("-n", host, "address", "add", f"{address}/24", "dev", "cable0")
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "set", "cable0", "up")
        yield hosts
    finally:
        for host in (hosts.trainer, hosts.replica):
            subprocess.run(["ip", "netns", "delete", host], capture_output=True, check=False)


@pytest.fixture
def server(hosts: Hosts, tmp_path: Path) -> Iterator[WeightServer]:
    """Serves in the trainer's namespace."""
    tokens = {f"{name}_token": f"{name}-0123456789abcdef" for name in ("user", "admin", "service")}
    settings = Settings.model_validate(
        {
            "run": {"directory": tmp_path / "trainer"},
            "security": tokens,
            "weights": {"transport": "http", "serve_limit_bytes_per_second": 3 * MIB},
        }
    )
    server = WeightServer(tmp_path / "server", settings, hosts.inside(hosts.trainer), TRAINER_ADDRESS)
    server.launch()
    try:
        server.wait_logged("serving")
        yield server
    finally:
        server.kill()


@pytest.fixture
def start_fetch(
    hosts: Hosts, server: WeightServer, tmp_path: Path
) -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    """Starts a fetch in the replica's namespace, into a folder of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(stall_seconds: float) -> subprocess.Popen[str]:
        words = [
            *hosts.inside(hosts.replica),
            sys.executable,
            "-m",
            "tests.support.weight_fetch",
            server.url,
            str(tmp_path / "replica"),
            "1",
            "weights.range_bytes=65536",
            f"weights.stall_seconds={stall_seconds}",
            'security.service_token="service-0123456789abcdef"',
        ]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def outcome(process: subprocess.Popen[str]) -> dict[str, object]:
    """What the fetch printed."""
    printed, told = process.communicate(timeout=90)
    assert process.returncode == 0, told
    return json.loads(printed)


def arrived(folder: Path) -> int:
    """Bytes the record of the partial file promises."""
    record = folder / f"{ACTOR}.arrived"
    if not record.exists():
        return 0
    lines = [line.split() for line in record.read_text().splitlines()[1:]]
    return sum(int(words[1]) - int(words[0]) for words in lines if len(words) == 2)


def wait_arrived(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while arrived(folder) < count:
        assert time.monotonic() < deadline, f"{count} bytes did not arrive in time"
        time.sleep(0.01)


def wait_told(fetch: subprocess.Popen[str], file: str) -> None:
    """Wait until the fetch says that a request for the file found no route, and is made again."""
    assert fetch.stderr is not None
    told = []
    for line in fetch.stderr:
        told.append(line)
        if f"/{file}: " in line and "No route to host; asked again" in line:
            return
    raise AssertionError(f"it ended without trying {file} again:\n{''.join(told)}")


@pytest.mark.slow
def test_a_pulled_cable_costs_only_what_was_on_it(
    hosts: Hosts, server: WeightServer, start_fetch: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    published = server.publish(1, SIZE).files[ACTOR]
    folder = version_folder(tmp_path / "replica", 1)
    first = start_fetch(1.0)
    wait_arrived(folder, SIZE // 4)
    hosts.cable("down")
    gave_up = outcome(first)  # silence: three stalls without a byte
    assert "no byte for" in str(gave_up["error"])
    kept = arrived(folder)
    assert SIZE // 4 <= kept < SIZE
    assert not (folder / ACTOR).exists()
    hosts.cable("up")
    second = outcome(start_fetch(5.0))  # the kernel may call the host unreachable for seconds yet
    assert second["error"] is None
    assert second["bytes_fetched"] == SIZE - kept, "more was asked for than was missing"
    assert sha256_of(folder / ACTOR) == published.sha256


@pytest.mark.slow
def test_a_passing_unreachable_host_is_asked_again(
    hosts: Hosts, server: WeightServer, start_fetch: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    """As the kernel remembers a host for a while after its cable is back: first of all, and in the middle."""
    published = server.publish(1, SIZE).files[ACTOR]
    folder = version_folder(tmp_path / "replica", 1)
    hosts.unreachable(True)
    fetch = start_fetch(2.0)
    wait_told(fetch, MANIFEST)
    hosts.unreachable(False)
    wait_arrived(folder, SIZE // 8)
    hosts.unreachable(True)
    wait_told(fetch, ACTOR)
    hosts.unreachable(False)
    assert outcome(fetch) == {"bytes_fetched": SIZE, "error": None}
    assert sha256_of(folder / ACTOR) == published.sha256


@pytest.mark.slow
def test_a_cable_that_comes_back_in_time_is_not_noticed(
    hosts: Hosts, server: WeightServer, start_fetch: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    published = server.publish(1, SIZE).files[ACTOR]
    folder = version_folder(tmp_path / "replica", 1)
    fetch = start_fetch(2.0)
    wait_arrived(folder, SIZE // 8)
    hosts.cable("down")
    time.sleep(2.5)  # longer than a stall, shorter than the three that end a fetch
    hosts.cable("up")
    result = outcome(fetch)
    assert result == {"bytes_fetched": SIZE, "error": None}
    assert sha256_of(folder / ACTOR) == published.sha256
