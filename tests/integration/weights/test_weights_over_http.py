"""A generator and a value service that share no folder with the trainer answer with its weights."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from tests.support.tiny_generator import TinyGenerator, tiny_settings
from tests.support.tiny_models import log_probs_of, tiny_model
from tests.support.weight_server import WeightServer
from vapo.ledger.fleet import Fleet, Member
from vapo.ledger.keys import Keys
from vapo.local.private_redis import PrivateRedis
from vapo.messages import token_array
from vapo.model.critic import load_critic, score
from vapo.model.packing import TokenSequence
from vapo.weights import ACTOR, CRITIC, version_folder

pytestmark = [pytest.mark.slow, pytest.mark.vllm]

HEARTBEAT_SECONDS = 60
"""One heartbeat of the stand-in for the trainer lasts for the whole test."""
PROMPT, RESPONSE = [5, 6, 7], [8, 9, 2]


@pytest.fixture
def generator(tmp_path: Path, redis_server: PrivateRedis) -> Iterator[TinyGenerator]:
    """A run whose trainer's folder is ``tmp_path/run``; the parts are given other folders."""
    settings = tiny_settings(
        tmp_path,
        redis_server.settings,
        f"test-{uuid.uuid4().hex[:12]}",
        weights={"transport": "http"},
        ledger={"heartbeat_seconds": HEARTBEAT_SECONDS},
    )
    generator = TinyGenerator(tmp_path, settings)
    yield generator
    generator.stop()


@pytest.fixture
def server(tmp_path: Path, generator: TinyGenerator) -> Iterator[WeightServer]:
    """Serves the trainer's folder, and is in the fleet as the trainer."""
    server = WeightServer(tmp_path / "server", generator.settings)
    server.start()
    keys = Keys(generator.settings.run.name)
    Fleet(generator.redis, keys, HEARTBEAT_SECONDS).beat(Member("trainer-test", "trainer", server.url, "READY"))
    yield server
    server.kill()


def random_critic(folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """A critic of the run's model with a random value head."""
    tensors = dict(load_critic(folder).state_dict())
    shape = tensors["value_head.weight"].shape
    tensors["value_head.weight"] = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return tensors


def test_both_replicas_answer_with_what_was_published(
    generator: TinyGenerator, server: WeightServer, tmp_path: Path
) -> None:
    critic = random_critic(tmp_path / "model", seed=2)
    generator.publish(tiny_model(seed=101))
    manifest = generator.publish(tiny_model(seed=102), critic=critic)
    generator.start(f'run.directory="{tmp_path / "host-a"}"')
    value = generator.parts.start("services.value", f'run.directory="{tmp_path / "host-b"}"')
    generator.wait_for_version(2)
    server.kill()  # the trainer is away; what was fetched goes on

    body = {"prompt_token_ids": PROMPT, "max_new_tokens": 8, "seed": 1}
    answer = httpx.post(f"{generator.url}/v1/generate", json=body, timeout=60).json()
    response = answer["responses"][0]
    assert response["version_spans"][0]["version"] == 2
    plain = log_probs_of(generator.models[2], PROMPT + response["token_ids"])
    np.testing.assert_allclose(response["log_probs"], plain[len(PROMPT) - 1 :], atol=1e-4)

    item = {"prompt_token_ids": PROMPT, "response_token_ids": RESPONSE}
    scored = httpx.post(f"{value.url}/v1/values", json=item, timeout=60).json()
    expected = score(
        load_critic(tmp_path / "model", critic), [TokenSequence(token_array(PROMPT), token_array(RESPONSE))], 4096
    )[0]
    assert scored["critic_version"] == 2
    np.testing.assert_allclose(scored["values"][0], expected, atol=2e-5)

    for host, mine, others in (("host-a", ACTOR, CRITIC), ("host-b", CRITIC, ACTOR)):
        folder = version_folder(tmp_path / host / "weights-cache", 2)
        assert (folder / mine).stat().st_size == manifest.files[mine].bytes
        assert not (folder / others).exists()
        assert not (tmp_path / host / "weights").exists()
        # Who joins late takes the newest and nothing else.
        assert not version_folder(tmp_path / host / "weights-cache", 1).exists()
