"""Proxies named in the environment get nothing: no call between parts, no command, no token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.recording_proxy import RecordingProxy
from tests.support.running_gateway import RunningGateway
from vapo.ledger.fleet import Member
from vapo.local.supervision.readiness import Awaited, wait_ready
from vapo.weights.errors import WeightsError
from vapo.weights.source import WeightSource

TOKEN = "a-token-no-proxy-may-see"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(params=["http", "socks5"])
def proxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingProxy]:
    """A proxy that the whole environment points to, with no exception for this machine."""
    listener = RecordingProxy()
    for name, address in listener.variables(request.param).items():
        monkeypatch.setenv(name, address)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield listener
    listener.close()


def test_parts_reach_one_another_directly(proxy: RecordingProxy, gateway: RunningGateway) -> None:
    wait_ready({"gateway": Awaited(gateway.url, 10.0)})
    with pytest.raises(WeightsError):
        WeightSource(lambda: gateway.url, {"Authorization": f"Bearer {TOKEN}"}, 5.0, 1).manifest(1)
    gateway.ledger.fleet.beat(Member("t", "trainer", NOBODY, "READY"))
    assert gateway.client.post("/v1/control/checkpoint").status_code == 502
    gateway.ledger.fleet.beat(Member("g", "generator", NOBODY, "READY", 0))
    chat = {"messages": [{"role": "user", "content": "1+1=?"}]}
    assert gateway.client.post("/v1/chat/completions", json=chat).status_code == 502
    assert proxy.seen == []


def test_commands_reach_the_gateway_directly(proxy: RecordingProxy, gateway: RunningGateway) -> None:
    words = ["-m", "vapo.cli", "status", "--url", gateway.url, "--token", TOKEN]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert f"run {gateway.settings.run.name}" in done.stdout
    assert proxy.seen == []
