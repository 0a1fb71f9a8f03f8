"""The value service as a process: real HTTP, real Redis, published weights, SIGKILL."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file

from tests.support.ledger_records import CORRECT, WRONG, generated, task
from tests.support.parts import Part, Parts
from tests.support.tiny_models import save_tiny_model
from tests.support.waiting import wait_until
from vapo.ledger import Ledger
from vapo.ledger.keys import Stage
from vapo.messages import Floats, token_array
from vapo.model.critic import load_critic, score
from vapo.model.packing import TokenSequence
from vapo.settings import Settings
from vapo.weights import ACTOR, CRITIC, WeightChannel, version_folder, write_version

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_tiny_model(folder)
    return folder


@pytest.fixture
def settings(settings: Settings, model_folder: Path) -> Settings:
    model = settings.model.model_copy(update={"path": model_folder, "max_context_tokens": 1024})
    return settings.model_copy(update={"model": model})


class Publisher:
    """Publishes critics with random value heads and knows their values."""

    def __init__(self, ledger: Ledger, model_folder: Path) -> None:
        self._ledger, self._model_folder = ledger, model_folder
        self._directory = ledger.settings.run.weights_directory
        self._tensors: dict[int, dict[str, torch.Tensor]] = {}

    def publish(self, version: int, damage: bool = False) -> str:
        """Write and announce a version; returns the critic's SHA-256."""
        tensors = dict(load_critic(self._model_folder).state_dict())
        generator = torch.Generator().manual_seed(version)
        weight = tensors["value_head.weight"]
        tensors["value_head.weight"] = torch.randn(weight.shape, generator=generator)
        self._tensors[version] = tensors
        writers: dict[str, Callable[[Path], None]] = {
            CRITIC: lambda path: save_file(tensors, path),
            ACTOR: lambda path: save_file({"x": torch.zeros(1)}, path),
        }
        manifest = write_version(self._directory, version, version * 10, writers)
        if damage:
            with (version_folder(self._directory, version) / CRITIC).open("r+b") as file:
                file.seek(-4, os.SEEK_END)
                file.write(b"\xff\xff\xff\xff")
        WeightChannel(self._ledger.redis, self._ledger.keys).announce(manifest)
        return manifest.files[CRITIC].sha256

    def values(self, version: int, sequence: TokenSequence) -> Floats:
        """What the version's critic makes of ``sequence``."""
        critic = load_critic(self._model_folder, self._tensors[version])
        return score(critic, [sequence], 4096)[0]


@pytest.fixture
def publisher(ledger: Ledger, model_folder: Path) -> Publisher:
    return Publisher(ledger, model_folder)


@pytest.fixture
def replica(parts: Parts) -> Part:
    return parts.start("services.value", "value.queue_limit=20")


@pytest.fixture
def client(replica: Part) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=replica.url, timeout=60) as client:
        yield client


def submit(ledger: Ledger, lengths: Sequence[int]) -> list[str]:
    """Verified rollouts of these lengths, which wait for their values."""
    for number, length in enumerate(lengths):
        ledger.submit([task(f"t{number}", samples=1)])
        ledger.record_generated(f"t{number}", 0, generated(length=length))
    for lease in ledger.lease(Stage.GENERATED, "test", len(lengths), 1.0):
        rollout = ledger.rollout(lease.id)
        assert rollout is not None
        odd = rollout.generated.token_ids.size % 2
        ledger.record_verdicts([(lease, rollout, CORRECT if odd else WRONG)])
    return [f"t{number}.0" for number in range(len(lengths))]


def test_values_over_http_and_bad_requests(client: httpx.Client, publisher: Publisher) -> None:
    item = {"prompt_token_ids": [5, 6, 7], "response_token_ids": [8, 9, 2]}
    base = client.post("/v1/values", json=item).json()
    assert base == {"critic_version": 0, "values": [[0.0, 0.0, 0.0, 0.0]]}

    digest = publisher.publish(1)
    wait_until(lambda: client.get("/v1/weights").json()["version"] == 1, 10)
    weights = client.get("/v1/weights").json()
    assert (weights["sha256"], weights["step"], weights["state"]) == (digest, 10, "READY")
    items = [{**item, "response_token_ids": [8] * length} for length in (1, 30, 4)]
    answer = client.post("/v1/values", json={"items": items}).json()
    assert answer["critic_version"] == 1
    for one, values in zip(items, answer["values"], strict=True):
        sequence = TokenSequence(token_array(one["prompt_token_ids"]), token_array(one["response_token_ids"]))
        np.testing.assert_allclose(values, publisher.values(1, sequence), atol=2e-5)

    refused = {
        422: [
            {"json": {**item, "response_token_ids": []}},
            {"json": {**item, "text": "5"}},
            {"json": {**item, "response_token_ids": [10**6]}},
            {"json": {**item, "response_token_ids": [-1]}},
            {"json": {**item, "response_token_ids": [3] * 2000}},
            {"json": {"items": []}},
        ],
        413: [{"content": b"x" * (17 * 2**20)}, {"json": {"items": [item] * 21}}],
        400: [{"content": b'{"x": "\xff\xfe"}', "headers": {"content-type": "application/json"}}],
    }
    for status, bodies in refused.items():
        for body in bodies:
            response = client.post("/v1/values", **body)
            assert response.status_code == status, response.text
            assert response.headers["content-type"] == "application/problem+json"
    assert "vapo_value_critic_version 1.0" in client.get("/metrics").text


def test_rollouts_are_scored_with_the_newest_critic(parts: Parts, ledger: Ledger, publisher: Publisher) -> None:
    publisher.publish(1)
    publisher.publish(2)
    ids = submit(ledger, range(1, 41))
    parts.start("services.value", "value.token_budget=64")
    wait_until(lambda: ledger.depths()["scored"] == len(ids))
    for rollout in ledger.rollouts(ids):
        assert rollout is not None
        assert rollout.values is not None
        assert rollout.values.critic_version == 2
        sequence = TokenSequence(rollout.task.prompt_token_ids, rollout.generated.token_ids)
        expected = publisher.values(2, sequence)
        np.testing.assert_allclose(rollout.values.values[:-1], expected[:-1], atol=2e-5)
        assert rollout.values.values[-1] == 0.0
    wait_until(lambda: bool(ledger.fleet.members("value")[0].details.get("explained_variance")))
    assert ledger.fleet.members("value")[0].weight_version == 2


def test_damaged_weights_are_refused_and_later_ones_taken(client: httpx.Client, publisher: Publisher) -> None:
    publisher.publish(1)
    wait_until(lambda: client.get("/v1/weights").json()["version"] == 1, 10)
    publisher.publish(2, damage=True)
    wait_until(lambda: client.get("/v1/weights").json()["state"] == "STALE", 10)
    weights = client.get("/v1/weights").json()
    assert weights["version"] == 1
    assert CRITIC in weights["failure"]
    publisher.publish(3)
    wait_until(lambda: client.get("/v1/weights").json()["version"] == 3, 10)
    assert client.get("/v1/weights").json()["failure"] is None


@pytest.mark.usefixtures("replica")
def test_a_rollout_the_critic_cannot_read_is_buried(ledger: Ledger) -> None:
    submit(ledger, [3, 1100, 4])
    wait_until(lambda: ledger.depths()["scored"] == 2)
    wait_until(lambda: ledger.depths()["dead"] == 1)


def test_sigkill_in_the_middle_loses_nothing_and_scores_each_once(parts: Parts, ledger: Ledger) -> None:
    options = "ledger.lease_seconds=2", "value.token_budget=16"
    first = parts.start("services.value", *options)
    ids = submit(ledger, [30] * 400)
    wait_until(lambda: ledger.depths()["scored"] > 5)
    psutil.Process(first.process.pid).kill()
    assert ledger.depths()["scored"] < len(ids)
    parts.start("services.value", *options)
    wait_until(lambda: ledger.depths()["scored"] == len(ids))
    entries = ledger.redis.xrange(ledger.keys.stream(Stage.SCORED))
    assert sorted(fields[b"id"].decode() for _, fields in entries) == sorted(ids)


def test_sigterm_ends_it_cleanly_and_it_leaves_the_fleet(replica: Part, ledger: Ledger) -> None:
    wait_until(lambda: len(ledger.fleet.members("value")) == 1)
    pid = replica.process.pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: replica.process.exit_status() is not None, 10)
    assert replica.process.exit_status() == 0
    assert ledger.fleet.members("value") == []
