"""Sections of what every part reads: the run, its model, Redis, the network, tokens, the ledger."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, SecretStr, field_validator, model_validator

from vapo.settings.sampling_bounds import RunSeed
from vapo.settings.section import Section

MINIMUM_TOKEN_LENGTH = 16


class RunSettings(Section):
    """Identity of a run and where its files live."""

    name: str = Field("default", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the run; prefix of all its Redis keys, so that runs can share a Redis."""
    directory: Path = Path("runs/default")
    """Folder of the run: logs, checkpoints, weights, metrics, plots."""
    seed: RunSeed = 0
    """Seed of everything random: sampling and data order. (A new value head is zero.)"""

    @property
    def weights_directory(self) -> Path:
        """Folder of published weight versions."""
        return self.directory / "weights"

    @property
    def checkpoints_directory(self) -> Path:
        """Folder of trainer checkpoints."""
        return self.directory / "checkpoints"


class ModelSettings(Section):
    """The policy that is trained."""

    path: Path = Path(__file__).parents[1] / "assets" / "chain-base"
    """Local Hugging Face folder of a causal language model (Llama, Mistral, Qwen2, Qwen3 or SmolLM3
    form; SmolLM and SmolLM2 are of the Llama form)."""
    max_context_tokens: int = Field(512, ge=8)
    """Longest prompt plus response, in tokens; longer prompts are refused at the door. No more than
    the model has positions for."""
    chat_template_name: str | None = None
    """Which of several named chat templates prompts are rendered with; unset: ``default``."""
    chat_template_arguments: dict[str, JsonValue] = Field({})
    """Values of the chat template's own names, such as ``{"enable_thinking": false}``."""
    value_bounds: tuple[float, float] | None = None
    """Lowest and highest reward: the critic's head is then held between them (BPCO); unset: a
    linear head, as in the paper. Critic weights are refused by the other form of head."""

    @field_validator("value_bounds")
    @classmethod
    def _bounds_rise(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"{bounds} must be the lowest and the highest reward, such as [-1, 1]")
        return bounds


class RedisSettings(Section):
    """The queue and ledger."""

    url: str = "redis://127.0.0.1:6379/0"
    """Address without password, ``redis://host:port/db``, ``rediss://`` or ``unix://``; behind
    Sentinels ``redis+sentinel://host:port,host:port/service/db``."""
    password_file: Path | None = None
    """File whose first line is the password; never put the password in ``url``."""
    timeout_seconds: float = Field(10.0, gt=0)
    """Deadline of one Redis call."""
    patience_seconds: float = Field(90.0, gt=0)
    """How long a start, and the trainer later too, waits for a Redis that does not answer before it
    gives up (our choice). The other parts go on waiting; calls of clients and of what can be tried
    again wait less."""
    refusal_seconds: float = Field(3600.0, gt=0)
    """How long the trainer holds still while Redis answers but takes no writes (full, read-only,
    disk full), before it gives up (our choice). The other parts wait without end."""

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, url: str) -> str:
        if urlsplit(url).password is not None:
            raise ValueError(
                "holds a password, which settings and logs would show; write it to a "
                "file and name that in redis.password_file"
            )
        return url


class NetworkSettings(Section):
    """How a process is reached from other machines."""

    advertise_host: str | None = None
    """Host name or address announced in the fleet (in Kubernetes: the pod's address); by default
    the address that is bound, or the machine's name when all addresses are."""

    @field_validator("advertise_host")
    @classmethod
    def _is_a_host(cls, host: str | None) -> str | None:
        named = host is None or re.fullmatch(r"[A-Za-z0-9_][\w.-]*", host, re.ASCII)
        if not (named or _address(str(host))):
            raise ValueError(f"{host!r} is no host name or address; give it without scheme or port")
        return host


class SecuritySettings(Section):
    """Bearer tokens. All three are needed as soon as a service binds beyond loopback."""

    user_token: SecretStr | None = None
    """Submit prompts, read rollouts and metrics, chat."""
    admin_token: SecretStr | None = None
    """Everything a user may, and control: pause, resume, checkpoint, stop, dead letters."""
    service_token: SecretStr | None = None
    """What the services show one another."""

    @model_validator(mode="after")
    def _tokens_are_long(self) -> SecuritySettings:
        for name in type(self).model_fields:
            token = getattr(self, name)
            if token is not None and len(token.get_secret_value()) < MINIMUM_TOKEN_LENGTH:
                raise ValueError(
                    f"security.{name} is shorter than {MINIMUM_TOKEN_LENGTH} characters; "
                    "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
        return self


class LedgerSettings(Section):
    """Limits of the Redis ledger. All are our choice."""

    max_staleness: int = Field(1, ge=0)
    """Hard limit, in optimiser rollout steps, between a token's weights and the trainer's."""
    task_queue_limit: int = Field(100_000, ge=1)
    """Tasks waiting before the gateway answers 429."""
    lease_seconds: float = Field(30.0, gt=0)
    """A lease not renewed for this long is taken over by another worker."""
    max_attempts: int = Field(5, ge=1)
    """Deliveries of one id before it becomes a dead letter."""
    retained_rollouts: int = Field(5_000, ge=0)
    """Trained or dropped rollouts whose payload is kept for reading over REST."""
    retained_tasks: int = Field(1_000_000, ge=0)
    """Ended tasks without payload whose record is kept (2 kB for 16 samples): a prompt sent again
    is recognised by it. What has not ended is always kept, and does not count."""
    heartbeat_seconds: float = Field(2.0, gt=0)
    """Interval of a part's heartbeat; three missed ones make it DEAD in the fleet."""


def is_loopback(host: str) -> bool:
    """Whether ``host`` only accepts connections from this machine."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
