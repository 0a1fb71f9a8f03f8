"""The one settings tree of the platform, documented where each field is defined.

Invariants:
- every part reads the same tree, so a resolved copy (``vapo config``) describes a whole run;
- an unknown key is refused, with the nearest known key named;
- defaults are the paper's (VAPO, arXiv 2504.05118) where the paper gives a value; fields whose
  default is our choice say so.

Resolution order, later wins: defaults, preset, TOML or JSON file, environment
(``VAPO__SECTION__KEY``), ``--set section.key=value``.
"""

from __future__ import annotations

import difflib
import ipaddress
import itertools
import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from vapo.settings.corrections import Bounds, correction_facts, resolve_bounds
from vapo.settings.renamed import without_renamed
from vapo.settings.sampling_bounds import (
    NewTokens,
    RunSeed,
    Samples,
    Temperature,
    TopP,
    TrainingTemperature,
    greedy_refusal,
)
from vapo.settings.truncation import PUNISHING, Truncation
from vapo.startup import StartupError

HTTP_URL = r"^https?://[^/?#\s]+/?$"
ENVIRONMENT_PREFIX = "VAPO__"
MINIMUM_TOKEN_LENGTH = 16


class SettingsError(StartupError, ValueError):
    """A settings source holds an unknown key or an impossible value; the text names the remedy."""


class Section(BaseModel):
    """Base of all sections: frozen, refuses unknown keys and numbers that are not finite, takes
    field docs from docstrings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _home_is_understood(cls, value: Any) -> Any:
        """``~`` in a path is the home folder."""
        if not isinstance(value, Path):
            return value
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError(f"{value} names no home folder here") from None


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
        """Folder of published weight versions (design section 5)."""
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
    chat_template_arguments: dict[str, JsonValue] = {}
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
    """How long a part waits for a Redis that does not answer, at its start and later, before it
    gives up (our choice). Calls of clients and of what can be tried again wait less."""
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
        if not (named or _is_address(str(host))):
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


class SamplingSettings(Section):
    """How responses are sampled for training."""

    samples_per_prompt: Samples = 16
    """Group sampling: responses per prompt (VAPO section 5.1: 16)."""
    temperature: TrainingTemperature = 1.0
    """Sampling temperature (DAPO and VAPO evaluate at 1.0; training temperature is silent), 0.01 to
    2: the engine takes no more, and greedy responses teach nothing."""
    top_p: TopP = 1.0
    """Nucleus; below 1 the behaviour log-probs are of the truncated distribution."""
    max_new_tokens: NewTokens = 256
    """Longest response, in tokens; longer ones end with finish reason ``length``."""


class LedgerSettings(Section):
    """Limits of the Redis ledger (design section 4). All are our choice."""

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


class GatewaySettings(Section):
    """The REST front."""

    host: str = "127.0.0.1"
    """Address to bind; beyond loopback all security tokens are required."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to bind."""
    max_body_bytes: int = Field(16 * 2**20, ge=1024)
    """Largest request body; larger ones get 413."""
    max_dataset_bytes: int = Field(256 * 2**20, ge=1024)
    """Largest uploaded data set, and the most its rows may unpack to; larger ones get 413."""
    backlog_low_water: int = Field(64, ge=1)
    """Waiting training tasks below which a data set tops the queue up."""
    generator_url: str | None = None
    """Generator for chat; by default a READY one from the fleet."""
    trainer_url: str | None = None
    """Trainer for control calls; by default the one in the fleet."""


class GeneratorSettings(Section):
    """One vLLM engine."""

    host: str = "127.0.0.1"
    """Address to bind."""
    port: int = Field(8001, ge=0, le=65535)
    """Port to bind; 0 picks a free one."""
    max_concurrent_sequences: int = Field(256, ge=1)
    """Sequences decoded together (vLLM ``max_num_seqs``)."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Compute type; ``auto`` is float32 on CPU and bfloat16 on CUDA."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs per engine."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of GPU memory for vLLM (CUDA only)."""
    cpu_kv_cache_gib: float = Field(1.0, gt=0)
    """Key/value cache on CPU, GiB (vLLM otherwise takes a share of the machine)."""
    enforce_eager: bool = True
    """No graph capture; set false on GPU hosts for speed at the price of start-up time."""
    prefix_caching: bool = True
    """Reuse keys of shared prompts; never across weight versions."""
    update_deadline_seconds: float = Field(120.0, gt=0)
    """Deadline of one in-flight weight update."""


class VerifierSettings(Section):
    """Judgement of math answers and its reward."""

    host: str = "127.0.0.1"
    """Address to bind."""
    port: int = Field(8002, ge=0, le=65535)
    """Port to bind; 0 picks a free one."""
    default: str = "math"
    """Verifier of tasks that name none."""
    workers: int = Field(2, ge=1)
    """Killable worker processes for symbolic comparison."""
    time_limit_seconds: float = Field(2.0, gt=0)
    """Hard wall-clock limit of one symbolic judgement."""
    memory_limit_mib: int = Field(1024, ge=64)
    """Address-space limit of a worker."""
    require_box: bool = True
    """Only ``\\boxed{}`` counts as an answer."""
    reward_correct: float = 1.0
    """Reward of a correct response (+1, read off VAPO Figure 2b)."""
    reward_wrong: float = -1.0
    """Reward of any other judged response (-1, read off VAPO Figure 2b)."""
    format_pattern: str = ""
    """Regular expression that a well-formed response contains; empty: no format term."""
    format_reward: float = 0.0
    """Added to the reward of a well-formed response; the verdict stays as it is."""
    queue_limit: int = Field(4096, ge=1)
    """Judgements waiting over HTTP before 429."""

    @field_validator("format_pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return pattern


class ValueSettings(Section):
    """A replica of the critic."""

    host: str = "127.0.0.1"
    """Address to bind."""
    port: int = Field(8003, ge=0, le=65535)
    """Port to bind; 0 picks a free one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes, as ``trainer.device``."""
    token_budget: int = Field(4096, ge=16)
    """Tokens scored in one forward pass."""
    queue_limit: int = Field(1024, ge=1)
    """Responses waiting over HTTP before 429."""


class AlgorithmSettings(Section):
    """VAPO's seven pieces and what baselines change. Equation numbers are the paper's."""

    estimator: Literal["gae", "group"] = "gae"
    """``gae``: a critic (PPO, VAPO); ``group``: group-normalised rewards (GRPO, DAPO)."""
    decoupled_gae: bool = True
    """Piece 2: lambda_critic for value targets, lambda_policy for advantages."""
    lambda_critic: float = Field(1.0, ge=0, le=1)
    """Lambda of the value targets (section 4.1: 1.0)."""
    lambda_policy: float = Field(0.95, ge=0, le=1)
    """Lambda of the advantages when it is not length-adaptive (VC-PPO: 0.95)."""
    length_adaptive_lambda: bool = True
    """Piece 3: lambda_policy = 1 - 1/(alpha * length), Eq 4-5."""
    alpha: float = Field(0.05, gt=0)
    """Alpha of Eq 5 (paper: 0.05, for responses of thousands of tokens)."""
    token_level_loss: bool = True
    """Piece 4: all tokens of the mini-batch weigh the same, Eq 7; false: Eq 6."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """Epsilon_low of Eq 8."""
    clip_high: float = Field(0.28, gt=0)
    """Piece 5, clip-higher: epsilon_high of Eq 8 (0.2 in vanilla PPO)."""
    positive_example_weight: float = Field(0.1, ge=0)
    """Piece 6: mu of Eq 10; 0 switches the positive-example LM loss off."""
    truncation: Truncation = Truncation.MASK_POLICY
    """What a response cut at ``max_new_tokens`` means (paper silent; docs/algorithm.md)."""
    overlong_buffer_tokens: int = Field(32, ge=1)
    """L_cache of DAPO Eq 13, used by ``soft_punishment`` and ``mask_and_punish``."""
    whiten_advantages: bool = False
    """Normalise advantages over the rollout batch (not in the paper)."""
    correction: str = "none"
    """Off-policy correction of the policy loss; ``none`` is Eq 2 as written. Far beyond a staleness
    of 2, with small steps, ``dppo`` and ``token_tis`` learn faster (docs/results.md)."""
    correction_low: float | None = Field(None, ge=0)
    """Lower bound of the correction's ratio (``dppo``: of a difference of probabilities); unset:
    the correction's own default."""
    correction_high: float | None = Field(None, gt=0)
    """Upper bound, likewise."""
    dual_clip: float | None = Field(None, gt=1)
    """c of dual-clip PPO, which bounds the loss where the advantage is negative; unset: off."""
    correct_positive_examples: bool = True
    """The positive-example loss carries the correction weight too (our choice)."""
    entropy_weight: float = Field(0.0, ge=0)
    """Entropy bonus (paper: none)."""
    group_standard_deviation: bool = True
    """Estimator ``group``: divide by the group's standard deviation (DAPO Eq 9)."""
    drop_uniform_groups: bool = False
    """DAPO's dynamic sampling: groups all correct or all wrong are dropped and others sampled in
    their place, up to ``trainer.uniform_batches_limit``; what is left of them leaves the loss."""

    @property
    def correction_bounds(self) -> Bounds:
        """Bounds of the correction in force."""
        return resolve_bounds(self.correction, self.correction_low, self.correction_high)

    @model_validator(mode="after")
    def _correction_fits(self) -> AlgorithmSettings:
        resolve_bounds(self.correction, self.correction_low, self.correction_high)
        if self.dual_clip is not None and not correction_facts(self.correction).clipped:
            raise ValueError(
                f"algorithm.dual_clip={self.dual_clip} is not allowed: correction={self.correction!r} "
                "bounds the ratio itself and has no clipped surrogate; leave dual_clip out or change correction"
            )
        return self


class ValuePretrainingSettings(Section):
    """Piece 1: fit the critic to Monte-Carlo returns of the fixed start policy (section 4.1)."""

    enabled: bool = True
    """Pretrain the critic before the first policy update."""
    max_steps: int = Field(50, ge=1)
    """Most rollout batches spent (section 5.1: 50 steps)."""
    explained_variance: float = Field(0.5, le=1)
    """Stop once explained variance against Monte-Carlo returns reaches this (our choice)."""
    epochs: int = Field(1, ge=1)
    """Passes over each pretraining batch (our choice)."""
    checkpoint: Path | None = None
    """Folder of an already pretrained critic; when set, pretraining is skipped."""


class TrainerSettings(Section):
    """Optimisation of actor and critic."""

    host: str = "127.0.0.1"
    """Address rank 0 binds."""
    port: int = Field(8004, ge=0, le=65535)
    """Port of rank 0; 0 picks a free one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes: ``auto`` takes a GPU if torch finds one and else the CPU; ``cuda`` does
    not start without a GPU; ``cpu`` leaves a GPU alone. (vLLM's build decides for the generator.)
    """
    prompts_per_step: int = Field(512, ge=1)
    """Prompts per rollout batch (section 5.1: 512)."""
    mini_batch_rollouts: int = Field(512, ge=1)
    """Responses per optimiser step (section 5.1: 512)."""
    epochs: int = Field(1, ge=1)
    """Passes over each rollout batch (VC-PPO Algorithm 1: one)."""
    max_steps: int = Field(300, ge=1)
    """Rollout batches to train on; 300 is about the paper's 5,000 gradient updates / 16."""
    actor_learning_rate: float = Field(1e-6, gt=0)
    """Section 5.1: 1e-6."""
    critic_learning_rate: float = Field(2e-6, gt=0)
    """Section 5.1: 2e-6."""
    critic_epochs: int | None = Field(None, ge=1)
    """Passes of the critic over each rollout batch; unset: ``epochs``. SAO takes 2 critic updates
    per actor update, Open-Reasoner-Zero 12."""
    critic_mini_batch_rollouts: int | None = Field(None, ge=1)
    """Responses per optimiser step of the critic; unset: ``mini_batch_rollouts``."""
    critic_replay_steps: int = Field(0, ge=0)
    """Earlier rollout batches that the critic trains on again in every step (LE CRITIQUE: each
    row twice, so 1). Not part of a checkpoint: it fills again after a resume."""
    warmup_steps: int = Field(10, ge=0)
    """Optimiser steps of linear warm-up, then constant (length silent in the paper)."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW first moment."""
    adam_beta2: float = Field(0.95, ge=0, lt=1)
    """AdamW second moment."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW decoupled weight decay of matrices; norms and biases never decay (silent in the
    paper)."""
    gradient_clip: float = Field(1.0, gt=0)
    """Global gradient norm limit (silent in the paper)."""
    token_budget: int = Field(4096, ge=16)
    """Tokens per micro-batch, padding included."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention kernel of the trainer."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    critic_version_lag: int = Field(1, ge=0)
    """Service values are reused when the critic is at most this many versions newer."""
    publish_every_steps: int = Field(1, ge=1)
    """Rollout steps between weight publications; at most ``ledger.max_staleness + 1``."""
    checkpoint_every_steps: int = Field(10, ge=1)
    """Rollout steps between checkpoints, in value pretraining too. Until then Redis keeps all
    rollouts trained on."""
    keep_checkpoints: int = Field(2, ge=1)
    """Checkpoints kept."""
    keep_weight_versions: int = Field(4, ge=2)
    """Published versions kept on disk."""
    uniform_batches_limit: int = Field(10, ge=0)
    """``drop_uniform_groups``: rollout batches' worth of uniform groups dropped for one step before
    the batch is filled up with them (10: ``max_num_gen_batches`` of verl's DAPO recipe); 0: the
    loss alone leaves them out."""
    mismatch_limit: float = Field(0.05, gt=0)
    """Refuse to start above this mean |behaviour - trainer| log-prob difference (nats/token)."""
    mismatch_snapshots: int = Field(2, ge=0)
    """Past actor versions kept in host memory, to measure that difference each step on tokens that
    are never of the trainer's own version; ledger.max_staleness + 1 covers them all, 0: none."""
    mismatch_rows: int = Field(8, ge=1)
    """Rows scored with past weights each step, at most."""
    threads: int = Field(1, ge=1)
    """CPU threads of the trainer (CPU only)."""
    batch_deadline_seconds: float = Field(3600.0, gt=0)
    """Longest wait for a rollout batch before the trainer reports what is missing and stops."""


class WeightsSettings(Section):
    """How published weights reach the replicas (design section 5). All are our choice."""

    transport: Literal["file", "http"] = "file"
    """``file``: a folder all parts share; ``http``: from the trainer, or from a host's relay."""
    source_url: str | None = Field(None, pattern=HTTP_URL)
    """Trainer's base URL; by default the one in the fleet."""
    relay_url: str | None = Field(None, pattern=HTTP_URL)
    """Relay of this host (``vapo relay``), asked instead of the trainer. The relay itself never
    asks it, so that all parts of a host can have the same settings."""
    parallel_ranges: int = Field(4, ge=1, le=64)
    """Ranges of a file fetched at a time, each over a connection of its own."""
    range_bytes: int = Field(16 * 2**20, ge=4096)
    """Largest range asked for at a time."""
    fetch_limit_bytes_per_second: int | None = Field(None, ge=65536)
    """Most one fetching process (replica or relay) takes; None: no limit."""
    serve_limit_bytes_per_second: int | None = Field(None, ge=65536)
    """Most the trainer gives to all that fetch, together; None: no limit."""
    stall_seconds: float = Field(10.0, gt=0)
    """A connection silent for this long is dropped and its range asked for again; after three
    times this without a byte the fetch is given up until the next try, which goes on from there."""
    deadline_seconds: float = Field(1800.0, gt=0)
    """Longest fetch of one file, interruptions included; what has arrived is kept."""
    cache_directory: Path | None = None
    """Where fetched versions lie; by default ``weights-cache`` in the run's folder. Replicas of one
    host that share it fetch each file once between them."""
    cache_versions: int = Field(2, ge=1)
    """Fetched versions kept there, the most recently used."""

    @model_validator(mode="after")
    def _only_http_fetches(self) -> WeightsSettings:
        for name in (
            "source_url",
            "relay_url",
            "cache_directory",
            "fetch_limit_bytes_per_second",
            "serve_limit_bytes_per_second",
        ):
            value = getattr(self, name)
            if self.transport == "file" and value is not None:
                raise ValueError(
                    f"weights.{name}={value} has no effect with weights.transport="
                    "file; set weights.transport=http or leave it out"
                )
        if self.source_url and self.relay_url and _same_url(self.source_url, self.relay_url):
            raise ValueError(
                f"weights.relay_url={self.relay_url} is weights.source_url; a relay "
                "asks the trainer, so they differ: leave one out"
            )
        return self


class RelaySettings(Section):
    """One host's relay of weights: fetches each file once, for all replicas of the host."""

    host: str = "127.0.0.1"
    """Address to bind; beyond loopback all security tokens are required."""
    port: int = Field(8005, ge=0, le=65535)
    """Port to bind; 0 picks a free one."""
    directory: Path | None = None
    """Where the relay keeps versions; by default ``weights-relay`` in the run's folder."""
    serve_limit_bytes_per_second: int | None = Field(None, ge=65536)
    """Most the relay gives to all replicas together; None: no limit."""


class EvaluationSettings(Section):
    """Held-out evaluation (VAPO: avg@32 at temperature 1.0, top-p 0.7)."""

    samples: Samples = 32
    """Responses per problem (k of avg@k)."""
    temperature: Temperature = 1.0
    """Sampling temperature, at most 2; 0 is greedy, with 1 sample."""
    top_p: TopP = 0.7
    """Nucleus."""

    @model_validator(mode="after")
    def _greedy_once(self) -> EvaluationSettings:
        refusal = greedy_refusal(self.temperature, self.samples)
        if refusal:
            raise ValueError(f"{refusal} (evaluation.samples=1)")
        return self


class Settings(Section):
    """The whole tree."""

    run: RunSettings = RunSettings()
    model: ModelSettings = ModelSettings()
    redis: RedisSettings = RedisSettings()
    network: NetworkSettings = NetworkSettings()
    security: SecuritySettings = SecuritySettings()
    sampling: SamplingSettings = SamplingSettings()
    ledger: LedgerSettings = LedgerSettings()
    gateway: GatewaySettings = GatewaySettings()
    generator: GeneratorSettings = GeneratorSettings()
    verifier: VerifierSettings = VerifierSettings()
    value: ValueSettings = ValueSettings()
    algorithm: AlgorithmSettings = AlgorithmSettings()
    value_pretraining: ValuePretrainingSettings = ValuePretrainingSettings()
    trainer: TrainerSettings = TrainerSettings()
    weights: WeightsSettings = WeightsSettings()
    relay: RelaySettings = RelaySettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def weights_cache_directory(self) -> Path:
        """Where a replica keeps what it fetched over HTTP."""
        return self.weights.cache_directory or self.run.directory / "weights-cache"

    @property
    def relay_directory(self) -> Path:
        """Where the relay keeps what it fetched."""
        return self.relay.directory or self.run.directory / "weights-relay"

    @property
    def rollouts_per_step(self) -> int:
        """Responses in one rollout batch."""
        return self.trainer.prompts_per_step * self.sampling.samples_per_prompt

    @property
    def has_critic(self) -> bool:
        """Whether the run has a critic; group estimators have none, nothing scores for them."""
        return self.algorithm.estimator == "gae"

    @property
    def punishes_length(self) -> bool:
        """Whether DAPO Eq 13 is added to the verifier's reward."""
        return self.algorithm.truncation in PUNISHING

    @property
    def reward_range(self) -> tuple[float, float]:
        """Lowest and highest reward a response can have."""
        verifier = self.verifier
        ends = (verifier.reward_wrong, verifier.reward_correct)
        return (
            min(ends) + min(0.0, verifier.format_reward) - float(self.punishes_length),
            max(ends) + max(0.0, verifier.format_reward),
        )

    @property
    def trains_whole_groups(self) -> bool:
        """Whether all rollouts of a task are trained in one batch: its rewards are compared."""
        return self.algorithm.estimator == "group" or self.algorithm.drop_uniform_groups

    @property
    def admission_capacity(self) -> int:
        """Most rollouts admitted and not yet trained (design section 4)."""
        return (self.ledger.max_staleness + 1) * self.rollouts_per_step

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.trainer.mini_batch_rollouts > self.rollouts_per_step:
            raise ValueError(
                f"trainer.mini_batch_rollouts={self.trainer.mini_batch_rollouts} is more than "
                f"prompts_per_step * samples_per_prompt = {self.rollouts_per_step}; lower it"
            )
        if self.sampling.max_new_tokens >= self.model.max_context_tokens:
            raise ValueError(
                f"sampling.max_new_tokens={self.sampling.max_new_tokens} leaves no room for a "
                f"prompt in model.max_context_tokens={self.model.max_context_tokens}; "
                "lower the first or raise the second"
            )
        return self

    @model_validator(mode="after")
    def _weights_are_never_too_old(self) -> Settings:
        unpublished = min(self.trainer.publish_every_steps, self.trainer.max_steps) - 1
        if unpublished > self.ledger.max_staleness:
            raise ValueError(
                f"trainer.publish_every_steps={self.trainer.publish_every_steps} leaves generators "
                f"with weights up to {unpublished} steps old, and what they make of them is "
                f"dropped beyond ledger.max_staleness={self.ledger.max_staleness}, so no batch "
                f"would come; raise ledger.max_staleness to {unpublished}, or publish every "
                f"{self.ledger.max_staleness + 1} steps or more often"
            )
        return self

    @model_validator(mode="after")
    def _length_punishment_fits(self) -> Settings:
        buffer, limit = self.algorithm.overlong_buffer_tokens, self.sampling.max_new_tokens
        if self.punishes_length and buffer > limit:
            raise ValueError(
                f"algorithm.overlong_buffer_tokens={buffer} is longer than sampling.max_new_tokens={limit}, "
                f"so algorithm.truncation={self.algorithm.truncation} would punish responses of any length; "
                "lower the first or raise the second"
            )
        return self

    @model_validator(mode="after")
    def _value_bounds_hold_the_rewards(self) -> Settings:
        lowest, highest = self.reward_range
        bounds = self.model.value_bounds
        if bounds is not None and not (bounds[0] <= lowest and highest <= bounds[1]):
            raise ValueError(
                f"model.value_bounds={list(bounds)} do not hold the rewards, which run from "
                f"{lowest} to {highest}; a bounded critic could not learn them, so widen the bounds"
            )
        return self

    @model_validator(mode="after")
    def _weight_folders_differ(self) -> Settings:
        folders = {
            "the folder of published weights": self.run.weights_directory,
            "weights.cache_directory": self.weights_cache_directory,
            "relay.directory": self.relay_directory,
        }
        for (first, here), (second, there) in itertools.combinations(folders.items(), 2):
            if here.resolve() == there.resolve():
                raise ValueError(
                    f"{second}={there} is also {first}; each cleans up after itself, so give it a folder of its own"
                )
        return self

    @model_validator(mode="after")
    def _open_addresses_need_tokens(self) -> Settings:
        missing = [name for name in SecuritySettings.model_fields if getattr(self.security, name) is None]
        for part in ("gateway", "generator", "verifier", "value", "trainer", "relay"):
            host = getattr(self, part).host
            if missing and not is_loopback(host):
                raise ValueError(
                    f"{part}.host={host} is reachable from other machines, but "
                    f"security.{missing[0]} is not set; set all three tokens or bind 127.0.0.1"
                )
        return self


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether ``host`` only accepts connections from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _same_url(first: str, second: str) -> bool:
    return first.rstrip("/") == second.rstrip("/")


def load_settings(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Settings:
    """Resolve the tree from its sources.

    Args:
        file: TOML or JSON file, or None.
        assignments: ``section.key=value`` strings; values are JSON, or else plain text.
        environment: variables to read ``VAPO__SECTION__KEY`` from; the process's by default.
        base: nested differences from the defaults that come first (a preset).

    Raises:
        SettingsError: unknown key, unreadable file or impossible value; the text says what to do.
    """
    merged: dict[str, Any] = {}
    layers = (base or {}, _read_file(file), _from_environment(environment), _from_assignments(assignments))
    for layer in layers:
        _merge(merged, layer)
    try:
        return Settings.model_validate(without_renamed(merged))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except ValueError as error:
        raise SettingsError(str(error)) from None


def dump_settings(settings: Settings, reveal_secrets: bool = False) -> dict[str, Any]:
    """The tree as JSON-ready values; tokens are masked unless ``reveal_secrets``."""
    tree = settings.model_dump(mode="json")
    if reveal_secrets:
        for name in SecuritySettings.model_fields:
            token = getattr(settings.security, name)
            tree["security"][name] = token.get_secret_value() if token else None
    return tree


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")  # Windows editors begin with a mark
        tree = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {file}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"the settings file {file} is not valid: {error}") from None
    if not isinstance(tree, dict):
        raise SettingsError(
            f"the settings file {file} holds a {type(tree).__name__}; write one "
            'JSON object of sections, {"run": {"seed": 1}}'
        )
    return tree


def _from_environment(environment: Mapping[str, str] | None) -> dict[str, Any]:
    variables = os.environ if environment is None else environment
    return _nest(
        (name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"), value)
        for name, value in variables.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    )


def _from_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    pairs = []
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment!r} has no '='; write section.key=value")
        pairs.append((key.strip().split("."), value))
    return _nest(pairs)


def _nest(pairs: Iterable[tuple[list[str], str]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, text in pairs:
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise SettingsError(
                    f"{name!r} is set to a value and {'.'.join(path)!r} to "
                    "another; set the keys of a section one by one"
                )
        node[path[-1]] = _parse(path, text)
    return tree


def _parse(path: Sequence[str], text: str) -> Any:
    """JSON, or else plain text. What a name, path or token is given is text also if it looks like a
    number: a run may be called 2026.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, (int, float)) and _holds_text(path) else value


def _holds_text(path: Sequence[str]) -> bool:
    section = Settings.model_fields.get(path[0])
    fields = section.annotation.model_fields if section else {}  # type: ignore[union-attr]
    field = fields.get(path[1]) if len(path) == 2 else None
    kinds = {field.annotation, *get_args(field.annotation)} if field else set()
    return not kinds.isdisjoint((str, Path, SecretStr))


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(dict(item)) for item in error.errors())


def _explain_one(item: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        secret = "security" in path or path == "redis.url"
        hidden = secret or isinstance(item["input"], (dict, Settings))
        shown = "" if hidden else f" = {item['input']!r}"
        words = str(item["msg"]).removeprefix("Value error, ")
        return words if not path or words.startswith(f"{path}.") else f"{path}{shown}: {words}"
    known = _known_keys()
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "see `vapo config` for all keys"
    return f"unknown setting {path!r}; {hint}"


def _known_keys() -> list[str]:
    keys = []
    for section, field in Settings.model_fields.items():
        keys.append(section)
        keys.extend(f"{section}.{name}" for name in field.annotation.model_fields)  # type: ignore[union-attr]
    return keys
