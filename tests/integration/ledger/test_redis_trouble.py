"""Redis refuses writes, evicts, falls silent or loses the run: parts say which, take nothing that
could not be kept, and go on by themselves once the cause is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.support.ledger_records import CORRECT, close, generated, settings_for, task
from tests.support.parts import Parts
from tests.support.running_gateway import RunningGateway, gateway_settings
from tests.support.running_redis import RunningRedis
from tests.support.waiting import wait_until
from vapo.ledger import Ledger, Stage
from vapo.ledger.run_memory import FILE
from vapo.ledger.stage_worker import StageWorker, Work
from vapo.settings import Settings

DEADLINE_SECONDS = 30
wait_soon = partial(wait_until, seconds=DEADLINE_SECONDS)
WATCHED_SECONDS = 5.0
PROMPT = {"prompt": "1+1=?", "answer": "2"}


@dataclass(frozen=True)
class Harm:
    """How Redis is brought into trouble and out of it, and what must be said meanwhile."""

    do: Callable[[RunningRedis, Redis, str], object]
    undo: Callable[[RunningRedis, Redis, str], object]
    said: str
    readable: bool = True
    """Whether what is there can still be read over REST."""


def configured(name: str, value: str, usual: str, said: str) -> Harm:
    return Harm(
        lambda server, redis, prefix: redis.config_set(name, value),
        lambda server, redis, prefix: redis.config_set(name, usual),
        said,
    )


def fail_to_save(server: RunningRedis, redis: Redis, prefix: str) -> None:
    """A snapshot that cannot take its name, since a folder has it."""
    folder = Path(redis.config_get("dir")["dir"]) / "taken"
    (folder / "full").mkdir(parents=True)
    redis.config_set("save", "3600 1000000")
    redis.config_set("dbfilename", "taken")
    redis.bgsave()
    wait_soon(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")


def save_again(server: RunningRedis, redis: Redis, prefix: str) -> None:
    redis.config_set("dbfilename", "dump.rdb")
    redis.bgsave()
    wait_soon(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "ok")


def renamed(key: str, gone: str) -> Harm:
    """One key is gone, as if evicted, and comes back."""
    return Harm(
        lambda server, redis, prefix: redis.rename(prefix + key, "elsewhere"),
        lambda server, redis, prefix: redis.rename("elsewhere", prefix + key),
        gone,
        readable=False,
    )


HARMS = {
    "full": configured(
        "maxmemory",
        "1",
        "0",
        "Redis refuses writes: OOM command not allowed when used memory > 'maxmemory'; it is full",
    ),
    "evicts": configured("maxmemory-policy", "allkeys-lru", "noeviction", "Redis has maxmemory-policy=allkeys-lru"),
    "no replicas": configured("min-replicas-to-write", "1", "0", "Redis refuses writes: NOREPLICAS"),
    "read-only": Harm(
        lambda server, redis, prefix: redis.replicaof("127.0.0.1", 1),
        lambda server, redis, prefix: redis.replicaof("NO", "ONE"),
        "Redis refuses writes: READONLY You can't write against a read only replica",
    ),
    "disk full": Harm(fail_to_save, save_again, "Redis refuses writes: MISCONF"),
    "lost": renamed("run", "Redis has lost this run: it holds nothing of it"),
    "evicted a queue": renamed("stream:generated", "Redis has lost this run: the queue generated is gone"),
}


@pytest.fixture
def gateway(own_redis: RunningRedis, tmp_path: Path) -> Iterator[RunningGateway]:
    settings = gateway_settings(own_redis.settings, tmp_path / "run", "ledger.heartbeat_seconds=0.2")
    with RunningGateway(settings) as running:
        yield running


def admin(server: RunningRedis) -> Redis:
    """A connection of the test's own."""
    assert server.settings.password_file is not None
    password = server.settings.password_file.read_text().strip()
    return Redis.from_url(server.settings.url, password=password, decode_responses=True, socket_timeout=10)


def readiness(client: httpx.Client) -> str:
    """Empty when ready, else the reason."""
    answer = client.get("/readyz")
    return "" if answer.status_code == 200 else str(answer.json()["detail"])


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
def test_the_true_cause_is_said_and_nothing_is_accepted(
    harm: Harm, own_redis: RunningRedis, gateway: RunningGateway
) -> None:
    client, redis = gateway.client, admin(own_redis)
    assert client.post("/v1/prompts", json=PROMPT | {"id": "before"}).status_code == 202
    harm.do(own_redis, redis, gateway.ledger.keys.prefix)
    assert harm.said in readiness(client)
    for path, body in (("prompts", PROMPT), ("evaluations", {"problems": [PROMPT]})):
        refused = client.post(f"/v1/{path}", json=body)
        assert refused.status_code == 503
        assert harm.said in refused.json()["detail"]
        assert "does not answer" not in refused.text
        assert int(refused.headers["retry-after"]) > 0
    time.sleep(1.1)  # what was seen a moment ago may be answered from
    reading = client.get("/v1/metrics")
    assert reading.status_code == (200 if harm.readable else 503), reading.text
    assert client.get("/healthz").status_code == 200
    harm.undo(own_redis, redis, gateway.ledger.keys.prefix)
    assert readiness(client) == "", "ready by itself"
    assert client.get("/v1/prompts/before").json()["state"] == "queued"
    assert client.post("/v1/prompts", json=PROMPT).json()["accepted"] == 1
    redis.close()


@pytest.mark.parametrize("way", ["flush", "no append-only file"])
def test_an_emptied_redis_never_begins_the_run_anew(way: str, own_redis: RunningRedis, gateway: RunningGateway) -> None:
    redis = admin(own_redis)
    if way == "flush":
        redis.flushall()
    else:
        redis.config_set("appendonly", "no")
        own_redis.kill()
        for file in Path(gateway.settings.redis.password_file).parent.glob("append*"):
            file.unlink()
        own_redis.start()
    assert "Redis has lost this run" in readiness(gateway.client)
    refused = gateway.client.post("/v1/prompts", json=PROMPT)
    assert refused.status_code == 503
    assert "Redis has lost this run" in refused.json()["detail"]

    # Another part that is started meanwhile marks the empty Redis; that does not make it the run's.
    close(Ledger.open(gateway.settings))
    assert "it holds another one of the same name" in readiness(gateway.client)
    assert gateway.client.post("/v1/prompts", json=PROMPT).status_code == 503
    assert not list(redis.scan_iter(match="*:task:*"))
    redis.close()


def test_keys_that_were_evicted_are_not_forgotten_when_the_policy_is_right_again(
    own_redis: RunningRedis, gateway: RunningGateway
) -> None:
    redis = admin(own_redis)
    used = redis.info("memory")["used_memory"]
    redis.config_set("maxmemory-policy", "volatile-ttl")
    redis.config_set("maxmemory", used + 2_000_000)
    for number in range(40):
        redis.set(f"other:{number}", "x" * 200_000, ex=3600)
    assert redis.info("stats")["evicted_keys"] > 0
    assert "Redis has maxmemory-policy=volatile-ttl" in readiness(gateway.client)
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", 0)
    assert "keys since this part started" in readiness(gateway.client)
    assert gateway.client.post("/v1/prompts", json=PROMPT).status_code == 503
    redis.close()


@pytest.mark.parametrize("part", ["gateway", "verifier"])
def test_a_start_on_a_full_redis_waits_and_then_says_so(part: str, own_redis: RunningRedis, tmp_path: Path) -> None:
    redis = admin(own_redis)
    redis.config_set("maxmemory", "1")
    redis.close()
    done = started(part, own_redis, tmp_path, "redis.patience_seconds=0.2")
    assert done.returncode == os.EX_UNAVAILABLE, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "was not usable within 0.2 s (redis.patience_seconds): Redis refuses writes" in line
    assert "Traceback" not in done.stderr


def test_a_flush_between_the_look_and_the_writing_accepts_nothing(own_redis: RunningRedis, settings: Settings) -> None:
    ledger = Ledger.open(settings_for(own_redis.settings))
    ledger.redis.flushall()
    with pytest.raises(Exception, match="Redis has lost this run"):
        ledger.submit([task("t")])
    assert not ledger.redis.exists(ledger.keys.task("t"))
    close(ledger)


def test_a_silent_redis_is_said_within_seconds_and_waited_for(own_redis: RunningRedis, gateway: RunningGateway) -> None:
    begun = time.monotonic()
    with stopped(own_redis):
        assert "Redis does not answer" in readiness(gateway.client)
        late = gateway.client.get("/v1/metrics", timeout=DEADLINE_SECONDS)
        assert late.status_code == 503
        assert "Redis does not answer" in late.json()["detail"]
        assert "retry-after" in late.headers
        assert gateway.client.get("/healthz").status_code == 200
    assert time.monotonic() - begun < DEADLINE_SECONDS
    wait_soon(lambda: readiness(gateway.client) == "")


@contextlib.contextmanager
def stopped(server: RunningRedis) -> Iterator[None]:
    """A server that takes connections and says nothing."""
    redis = admin(server)
    pid = redis.info("server")["process_id"]
    redis.close()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_log_says_it_once(
    own_redis: RunningRedis, gateway: RunningGateway, caplog: pytest.LogCaptureFixture
) -> None:
    redis = admin(own_redis)
    caplog.set_level(logging.INFO)
    caplog.clear()
    redis.flushall()
    wait_soon(lambda: "Redis has lost this run" in caplog.text)
    time.sleep(WATCHED_SECONDS)
    assert len(caplog.records) == 1, [record.getMessage() for record in caplog.records]
    redis.close()


def test_parts_started_on_an_emptied_redis_are_refused_with_the_remedy(own_redis: RunningRedis, tmp_path: Path) -> None:
    settings = settings_for(own_redis.settings, f"run.directory={tmp_path / 'run'}")
    parts = Parts(settings, tmp_path / "parts")
    try:
        parts.start("services.gateway")
        parts.stop()
        redis = admin(own_redis)
        redis.flushall()
        again = parts.launch("services.gateway").process
        assert again.wait(DEADLINE_SECONDS) == os.EX_CONFIG
        told = again.log_tail(5)
        assert "Redis has lost this run" in told
        assert "Traceback" not in told
        remembered = tmp_path / "run" / FILE
        assert f"that {remembered} remembers" in told
        remembered.unlink()
        parts.start("services.gateway")
        redis.close()
    finally:
        parts.stop()


def test_the_log_of_a_verifier_is_not_flooded(own_redis: RunningRedis, tmp_path: Path) -> None:
    settings = settings_for(own_redis.settings, "ledger.heartbeat_seconds=0.2")
    parts = Parts(settings, tmp_path / "parts")
    redis = admin(own_redis)
    try:
        verifier = parts.start("services.verifier")
        before = verifier.process.log_tail(1000).count("\n")
        redis.flushall()
        with httpx.Client(base_url=verifier.url, trust_env=False) as client:
            wait_soon(lambda: "Redis has lost this run" in readiness(client))
            time.sleep(WATCHED_SECONDS)
            assert "Redis has lost this run" in readiness(client)
        told = verifier.process.log_tail(1000)
        assert told.count("\n") - before <= 1, told
    finally:
        parts.stop()
        redis.close()


def test_work_that_cannot_be_recorded_is_not_buried(own_redis: RunningRedis) -> None:
    settings = settings_for(own_redis.settings, "ledger.lease_seconds=0.3", "ledger.max_attempts=2")
    ledger, redis = Ledger.open(settings), admin(own_redis)
    judged: list[str] = []

    def verify(work: Work) -> None:
        if not judged:
            redis.config_set("maxmemory", "1")
        judged.extend(rollout.id for _, rollout in work)
        ledger.record_verdicts([(lease, rollout, CORRECT) for lease, rollout in work])

    ledger.submit([task("t", 2)])
    ledger.lease_tasks("generator", 1, 0)
    for sample in (0, 1):
        assert ledger.record_generated("t", sample, generated())
    stage = StageWorker(ledger, Stage.GENERATED, "verifier", verify, 8)
    stage.start()
    try:
        wait_soon(lambda: judged)
        time.sleep(2.0)
        redis.config_set("maxmemory", "0")
        wait_soon(lambda: ledger.states(["t.0"])[0] == ledger.states(["t.1"])[0] == "verified")
        assert ledger.depths()["dead"] == 0
    finally:
        stage.stop()
        stage.join(DEADLINE_SECONDS)
        close(ledger)
        redis.close()


@pytest.mark.parametrize("part", ["gateway", "verifier", "relay", "generator"])
def test_a_redis_that_evicts_is_refused_at_the_start(part: str, own_redis: RunningRedis, tmp_path: Path) -> None:
    redis = admin(own_redis)
    redis.config_set("maxmemory-policy", "volatile-ttl")
    redis.close()
    done = started(part, own_redis, tmp_path)
    assert done.returncode == os.EX_CONFIG, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "has maxmemory-policy=volatile-ttl" in line
    assert "set maxmemory-policy noeviction there" in line
    assert "Traceback" not in done.stderr


def started(part: str, redis: RunningRedis, folder: Path, *changes: str) -> subprocess.CompletedProcess[str]:
    """A part that ends by itself."""
    sets = [
        f"redis.url={redis.settings.url}",
        f"run.directory={folder / 'run'}",
        f"redis.password_file={redis.settings.password_file}",
        f"{part}.port=0",
        *changes,
    ]
    sets += ["weights.transport=http"] if part == "relay" else []
    words = [word for one in sets for word in ("--set", one)]
    return subprocess.run(
        [sys.executable, "-m", f"services.{part}", *words], capture_output=True, text=True, timeout=60, check=False
    )
