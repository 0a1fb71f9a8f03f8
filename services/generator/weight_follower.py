"""Keeps the engine on the newest published weights, with proof of each load.

Invariants:
- files are fetched, and their checksums, names and shapes checked, before generation pauses;
- after each load the engine recomputes the log-probs of fixed tokens; they must be finite, and
  agree with the trainer's when the publication carries them;
- a load that cannot be proven is rejected: no response it touched leaves, and it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from redis.exceptions import RedisError

from services.generator.engine.vllm_engine import Engine, EngineError, LoadTimings
from services.generator.state import GeneratorState, State
from services.generator.weight_shapes import Shapes, check_complete
from vapo.ledger.patience import BLOCK_SECONDS, PAUSE_SECONDS
from vapo.telemetry.quiet_log import QuietLog
from vapo.weights import ACTOR, Announcement, Manifest, Transport, WeightsError
from vapo.weights.canary import canary_difference, canary_token_ids

logger = logging.getLogger(__name__)

MOST_REJECTED = 3
"""Tries of one version before waiting for another, and failed loads before a new engine."""
NONE_DEALT_WITH = -1
BASE = Announcement(version=0, step=0)
AGREEMENT_FLOAT32 = 2e-4
"""Nats per token; float32 kernels were seen to agree to 5e-6."""
AGREEMENT_HALF = 0.5
"""Nats per token for 16-bit engines: the canary's tokens are unlikely ones, with large logits, so
that rounding alone moves their log-probs by tenths; other weights move them by several nats."""


class ProofError(WeightsError):
    """After a load the engine does not compute with the weights it was given."""


class Announcements(Protocol):
    """Where new versions are announced (``vapo.weights.WeightChannel``)."""

    def newest(self) -> Announcement | None:
        """The version announced last."""
        ...

    def wait_newer(self, than: int, block_seconds: float) -> Announcement | None:
        """The newest version above ``than``."""
        ...


@dataclass(frozen=True)
class Proof:
    """What the engine computes with, and how long the last load took; shown at ``/v1/weights``."""

    version: int
    step: int
    checksum: str
    """SHA-256 of the actor's file; empty for the base model."""
    canary_token_ids: list[int]
    canary_log_probs: list[float]
    trainer_difference: float | None
    """Mean |engine - trainer| over the canary in nats, when the publication carries its values."""
    fetch_seconds: float
    timings: LoadTimings
    proven_at: float
    """Seconds since the epoch."""


class WeightFollower:
    """Loads what is announced, and keeps the state machine true.

    Args:
        expected: name and shape of every tensor a publication must hold.
    """

    def __init__(self, engine: Engine, state: GeneratorState, transport: Transport, expected: Shapes) -> None:
        self._engine, self._state, self._transport = engine, state, transport
        self._expected = expected
        self._tokens = canary_token_ids(engine.vocabulary_size)
        self._dealt_with = NONE_DEALT_WITH
        """Version last proven or given up."""
        self._rejected = 0
        self._refusals = QuietLog(logger)
        self.proof: Proof | None = None
        self.loads, self.failures = 0, 0
        self.trouble = ""
        """Why the newest version is not in use; empty when it is, or none was tried."""

    async def run(self, announcements: Announcements) -> None:
        """Follow for ever; ends only by cancellation or :class:`EngineError`."""
        while True:
            try:
                target = await self._target(announcements)
                if target is not None:
                    await self.load(target)
            except RedisError as error:  # the heartbeat tells of it
                logger.debug("weights not updated: %s; again in %g s", error, PAUSE_SECONDS)
                await asyncio.sleep(PAUSE_SECONDS)
            except (WeightsError, OSError) as error:
                self.failures += 1
                self.trouble = str(error)
                self._refusals.warn(str(error), f"weights not updated: {error}; trying again every {PAUSE_SECONDS:g} s")
                await asyncio.sleep(PAUSE_SECONDS)

    async def load(self, announced: Announcement) -> Proof:
        """Fetch, verify, load in flight and prove one version; 0 is what vLLM started with.

        Raises:
            WeightsError: the files are missing, damaged or incomplete (nothing was paused), or the
                engine does not compute with them (it stays STALE).
            EngineError: the engine is stuck or gone.
        """
        if announced.version == 0:
            self._state.load_started(0)
            return await self._prove(None, 0.0, LoadTimings(0.0, 0.0, 0.0))
        started = time.monotonic()
        actor, manifest = await asyncio.to_thread(self._fetch, announced.version)
        fetched = time.monotonic() - started
        self._state.load_started(announced.version)
        timings = await self._loaded(actor, manifest)
        return await self._prove(manifest, fetched, timings)

    async def _target(self, announcements: Announcements) -> Announcement | None:
        proven = self.proof is not None and self._dealt_with == self.proof.version
        if proven and self._state.state is State.STALE:  # it was away
            self._dealt_with = NONE_DEALT_WITH
        if self._dealt_with == NONE_DEALT_WITH:
            return await asyncio.to_thread(announcements.newest) or BASE
        return await asyncio.to_thread(announcements.wait_newer, self._dealt_with, BLOCK_SECONDS)

    def _fetch(self, version: int) -> tuple[Path, Manifest]:
        folder, manifest = self._transport.fetch(version, only=ACTOR)
        if ACTOR not in manifest.files:
            raise WeightsError(f"version {version} at {folder} has no {ACTOR}")
        check_complete(folder / ACTOR, self._expected)
        return folder / ACTOR, manifest

    async def _loaded(self, actor: Path, manifest: Manifest) -> LoadTimings:
        try:
            return await self._engine.load(actor, manifest.version)
        except EngineError:
            raise
        except Exception as error:
            # vLLM reports what went wrong inside its worker as a plain Exception with the text.
            await self._reject(manifest.version, f"it was not loaded: {error}")
            if self._rejected >= MOST_REJECTED:
                raise EngineError(
                    f"{self._rejected} loads in a row failed, at last: {error}; the engine has to be started anew"
                ) from error
            raise WeightsError(f"version {manifest.version} was not loaded: {error}") from error

    async def _prove(self, manifest: Manifest | None, fetched: float, timings: LoadTimings) -> Proof:
        started = time.monotonic()
        try:
            proof = await self._proof(manifest, fetched)
        except ProofError as error:
            version = manifest.version if manifest else 0
            await self._reject(version, str(error))
            if self._rejected >= MOST_REJECTED:
                self._dealt_with = version
            raise
        self.proof = replace(proof, timings=replace(timings, prove=time.monotonic() - started))
        self._state.load_proved(self.proof.version)
        self._engine.prove_load()
        self._dealt_with, self._rejected, self.trouble = self.proof.version, 0, ""
        self.loads += 1
        logger.info(
            "weights version %d in use: standstill %.3f s, proof %.3f s",
            proof.version,
            timings.standstill,
            self.proof.timings.prove,
        )
        return self.proof

    async def _proof(self, manifest: Manifest | None, fetched: float) -> Proof:
        canary = manifest.canary if manifest else {}
        token_ids = [int(token_id) for token_id in canary.get("token_ids", self._tokens)]
        log_probs = await self._engine.score(token_ids)
        difference = self._compare(canary, log_probs)
        return Proof(
            version=manifest.version if manifest else 0,
            step=manifest.step if manifest else 0,
            checksum=manifest.files[ACTOR].sha256 if manifest else "",
            canary_token_ids=token_ids,
            canary_log_probs=log_probs,
            trainer_difference=difference,
            fetch_seconds=fetched,
            timings=LoadTimings(0.0, 0.0, 0.0),
            proven_at=time.time(),
        )

    def _compare(self, canary: dict[str, Any], log_probs: list[float]) -> float | None:
        if not all(map(math.isfinite, log_probs)):
            raise ProofError("the engine's canary log-probs are not finite; the weights are broken")
        if not canary:
            return None
        limit = AGREEMENT_HALF if self._engine.half_precision else AGREEMENT_FLOAT32
        difference = canary_difference(canary["log_probs"], log_probs)
        if difference > limit:
            raise ProofError(
                f"the engine's canary log-probs differ from the trainer's by "
                f"{difference:.2e} nats per token, more than {limit:g}; the load did "
                "not take effect, or trainer and generator run different models"
            )
        return difference

    async def _reject(self, version: int, reason: str) -> None:
        self._rejected += 1
        self._state.load_failed(f"version {version}: {reason}")
        await self._engine.reject_load()
