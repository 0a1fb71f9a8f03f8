"""The gateway client against real HTTP: refusals in the gateway's words, patience, discovery."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.running_gateway import RunningGateway
from vapo.client import GatewayClient, GatewayError, connection
from vapo.local.ports import free_ports
from vapo.local.run_folders.run_folder import RunFolder, RunFolderError

PROMPT = {"id": "one", "prompt": "1+1=?", "answer": "2"}


def test_a_refusal_is_told_in_the_gateways_words(gateway: RunningGateway) -> None:
    with GatewayClient(gateway.url) as client:
        with pytest.raises(GatewayError, match="the reference answer is empty") as caught:
            client.post("/v1/prompts", {"prompts": [{**PROMPT, "answer": " "}]})
        assert caught.value.status == 422
        assert client.post("/v1/prompts", {"prompts": [PROMPT]})["accepted"] == 1
        assert client.get("/v1/prompts/one")["state"] == "queued"


def test_a_gateway_that_is_away_is_named_at_once_without_patience(free_port: int) -> None:
    with GatewayClient(f"http://127.0.0.1:{free_port}") as client:
        with pytest.raises(GatewayError, match=f"{free_port} does not answer") as caught:
            client.get("/v1/metrics")
        assert caught.value.status is None


def test_patience_outlasts_a_gateway_that_comes_back(gateway: RunningGateway) -> None:
    """The first calls go to a closed port, as they do while a killed gateway is started again."""
    away = f"http://127.0.0.1:{free_ports(1)[0]}"
    with GatewayClient(away, patience_seconds=20.0) as client:

        def come_back() -> None:
            client._http.base_url = gateway.url  # type: ignore[assignment]

        timer = threading.Timer(1.0, come_back)
        started = time.monotonic()
        timer.start()
        assert client.get("/v1/metrics")["latest"] is None
        assert time.monotonic() - started >= 1.0
        timer.join()


def test_the_newest_run_is_found_and_the_environment_comes_first(
    make_gateway: Callable[..., RunningGateway], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = make_gateway()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAPO_URL", raising=False)
    with pytest.raises(RunFolderError, match="vapo up"):
        connection()
    port = int(running.url.rpartition(":")[2])
    section = running.settings.gateway.model_copy(update={"port": port})
    settings = running.settings.model_copy(update={"gateway": section})
    RunFolder(tmp_path / "runs" / "mine").write_settings(settings)
    with connection() as client:
        assert client.get("/v1/metrics")["run"] == running.settings.run.name
    monkeypatch.setenv("VAPO_URL", "http://127.0.0.1:1")
    with connection() as client, pytest.raises(GatewayError, match=r"127\.0\.0\.1:1 does not answer"):
        client.get("/v1/metrics")
