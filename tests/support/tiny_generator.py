"""A real generator process on a tiny random model, and what tests do with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from redis import Redis
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen3ForCausalLM

from tests.support.parts import Part, Parts
from tests.support.tiny_models import log_probs_of, save_tiny_model
from vapo.ledger.connection import connect
from vapo.ledger.keys import Keys
from vapo.settings import RedisSettings, Settings
from vapo.weights import ACTOR, CRITIC, Manifest, WeightChannel, write_version
from vapo.weights.canary import canary_record, canary_token_ids

CONTEXT_TOKENS = 512


def tiny_settings(folder: Path, redis: RedisSettings, name: str, **sections: Any) -> Settings:
    """Settings of a run with a tiny model in ``folder/model``."""
    base: dict[str, Any] = {
        "run": {"name": name, "directory": folder / "run"},
        "model": {"path": folder / "model", "max_context_tokens": CONTEXT_TOKENS},
        "redis": redis.model_dump(),
        "sampling": {"samples_per_prompt": 4, "max_new_tokens": 64},
        "generator": {"cpu_kv_cache_gib": 0.25, "max_concurrent_sequences": 64},
        "ledger": {"lease_seconds": 2.0, "heartbeat_seconds": 0.5},
    }
    for section, values in sections.items():
        base[section] = base.get(section, {}) | values
    return Settings.model_validate(base)


class TinyGenerator:
    """A running generator, its published versions, and the models behind them."""

    def __init__(self, folder: Path, settings: Settings, tied: bool = False) -> None:
        self.settings = settings
        self.models = {0: save_tiny_model(folder / "model", seed=0, tied=tied)}
        self.folder = folder
        self.parts = Parts(settings, folder / "parts")
        self.redis: Redis = connect(settings.redis)
        self.channel = WeightChannel(self.redis, Keys(settings.run.name))
        self.part: Part | None = None

    def start(self, *assignments: str) -> Part:
        """Start the process and wait until it is ready."""
        self.part = self.parts.start("services.generator", *assignments)
        return self.part

    def stop(self) -> None:
        """End the process and close the connections."""
        self.parts.stop()
        self.redis.close()

    @property
    def url(self) -> str:
        """Address of the process."""
        assert self.part is not None, "start() it first"
        return self.part.url

    @property
    def newest(self) -> int:
        """Number of the version published last."""
        return max(self.models)

    def publish(
        self,
        model: Qwen3ForCausalLM,
        *,
        canary_of: Qwen3ForCausalLM | None = None,
        leave_out: str = "",
        damage: bool = False,
        critic: dict[str, Tensor] | None = None,
    ) -> Manifest:
        """Publish ``model``, and a critic if given, as the next version.

        ``canary_of``, ``leave_out`` and ``damage`` make a publication that is wrong.
        """
        version = self.newest + 1
        tokens = canary_token_ids(model.config.vocab_size)
        canary = canary_record(tokens, log_probs_of(canary_of or model, tokens))
        tied = model.config.tie_word_embeddings
        tensors = {
            name: tensor.clone()
            for name, tensor in model.state_dict().items()
            if name != leave_out and not (tied and name == "lm_head.weight")
        }
        directory = self.settings.run.weights_directory
        writers: dict[str, Callable[[Path], None]] = {ACTOR: lambda path: save_file(tensors, path)}
        if critic is not None:
            writers[CRITIC] = lambda path: save_file(critic, path)
        manifest = write_version(directory, version, version, writers, canary)
        if damage:
            with (directory / f"{version:08d}" / ACTOR).open("r+b") as file:
                file.seek(-1, 2)
                file.write(b"\xff")
        self.models[version] = model
        self.channel.announce(manifest)
        return manifest

    def weights(self) -> dict[str, Any]:
        """``GET /v1/weights``."""
        return httpx.get(f"{self.url}/v1/weights", timeout=10).raise_for_status().json()

    def wait_for(self, reached: Callable[[dict[str, Any]], bool], seconds: float = 20) -> dict[str, Any]:
        """Wait until ``/v1/weights`` says so; returns what it says."""
        deadline = time.monotonic() + seconds
        while not reached(seen := self.weights()):
            assert time.monotonic() < deadline, f"not reached within {seconds} s; last seen {seen}"
            time.sleep(0.02)
        return seen

    def wait_for_version(self, version: int) -> dict[str, Any]:
        """Wait until ``version`` is in use."""
        return self.wait_for(lambda seen: seen["version"] == version and seen["state"] == "READY")
