"""The gateway when Redis is killed, when the tokenizer is another one, and its page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.ledger_records import close
from tests.support.running_gateway import RunningGateway, gateway_settings
from tests.support.running_redis import RunningRedis
from vapo.ledger import Ledger
from vapo.local.private_redis import PrivateRedis
from vapo.settings import dump_settings


@pytest.mark.slow
def test_redis_killed_and_started_again_is_not_noticed_by_a_patient_client(
    own_redis: RunningRedis, tmp_path: Path
) -> None:
    with RunningGateway(gateway_settings(own_redis.settings, tmp_path / "run")) as gateway:
        assert (
            gateway.client.post("/v1/prompts", json={"prompt": "1+1=?", "answer": "2", "id": "before"}).status_code
            == 202
        )
        own_redis.kill()
        restart = threading.Timer(1.5, own_redis.start)
        restart.start()
        reply = gateway.client.post("/v1/prompts", json={"prompt": "1+2=?", "answer": "3", "id": "meanwhile"})
        restart.join()
        assert reply.status_code == 202
        assert gateway.client.get("/v1/prompts/before").json()["state"] == "queued"
        assert gateway.client.get("/v1/prompts/meanwhile").json()["state"] == "queued"


@pytest.mark.slow
def test_redis_gone_is_a_503_within_seconds(own_redis: RunningRedis, tmp_path: Path) -> None:
    with RunningGateway(gateway_settings(own_redis.settings, tmp_path / "run")) as gateway:
        own_redis.kill()
        begun = time.monotonic()
        reply = gateway.client.get("/v1/metrics", timeout=30)
        assert reply.status_code == 503
        assert "Redis does not answer" in reply.json()["detail"]
        assert time.monotonic() - begun < 15
        assert gateway.client.get("/healthz").status_code == 200, "the process lives"
        own_redis.start()
        assert gateway.client.get("/readyz", timeout=30).status_code == 200


def test_another_tokenizer_is_refused_at_the_start(redis_server: PrivateRedis, tmp_path: Path) -> None:
    settings = gateway_settings(redis_server.settings, tmp_path / "run", "gateway.port=0")
    ledger = Ledger.open(settings)
    ledger.control.agree("tokenizer", "that of another model", Path("/models/first"))
    close(ledger)
    config = tmp_path / "settings.json"
    config.write_text(json.dumps(dump_settings(settings, reveal_secrets=True)))
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == os.EX_CONFIG
    assert (
        f"the tokenizer of {settings.model.path} differs from the run's, which is that of "
        "/models/first; start this part with"
    ) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_folder_without_tokenizer_is_refused_at_the_start(redis_server: PrivateRedis, tmp_path: Path) -> None:
    shutil.copytree("vapo/assets/chain-base", tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    words = [
        f"redis.url={redis_server.settings.url}",
        f"model.path={tmp_path / 'model'}",
        "gateway.port=0",
        f"redis.password_file={redis_server.settings.password_file}",
    ]
    sets = [word for one in words for word in ("--set", one)]
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway", *sets], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == os.EX_CONFIG
    assert "tokenizer.json cannot be read" in done.stderr


def test_the_dashboard_needs_nothing_from_elsewhere(gateway: RunningGateway) -> None:
    reply = gateway.client.get("/")
    assert reply.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    addresses = set(re.findall(r"https?://[^\s\"']+", reply.text))
    assert addresses == {"http://www.w3.org/2000/svg"}, "a name, not fetched"
    assert "innerHTML" not in reply.text
    assert '"/v1' not in reply.text, "it may be served under a prefix"
    paths = set(re.findall(r'"(v1/[a-z/-]+)', reply.text))
    assert {"v1/metrics", "v1/fleet", "v1/dead-letters", "v1/events"} <= paths
    for path in paths - {"v1/events"}:
        assert gateway.client.get(f"/{path}").status_code == 200, path
