"""What runs beside the HTTP app: weights, queue, and a watch on the engine.

Invariants: the engine is started before the event loop, and ended in it, last; when the engine fails
the process ends with an error, so that whoever supervises it starts a clean one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

from services.generator.engine.vllm_engine import Engine, EngineError
from services.generator.queue_sampler import QueueSampler
from services.generator.state import GeneratorState, State
from services.generator.weight_follower import WeightFollower
from services.generator.weight_shapes import base_shapes
from vapo.ledger import Ledger
from vapo.ledger.fleet import MISSED_HEARTBEATS, Member
from vapo.ledger.patience import LOOP_CALL_SECONDS
from vapo.ledger.patient_loop import patiently
from vapo.ledger.run_watch import RunWatch
from vapo.model.text.tokenizer import PromptTokenizer
from vapo.service import Endpoint, Part
from vapo.settings import Settings
from vapo.weights import WeightChannel
from vapo.weights.from_settings import transport_for

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.5


class GeneratorPart(Part):
    """One engine, its weights, and its work on the queue."""

    def __init__(self, settings: Settings, endpoint: Endpoint, engine: Engine, tokenizer: PromptTokenizer) -> None:
        super().__init__(settings, endpoint, RunWatch(settings))
        self.engine, self.tokenizer = engine, tokenizer
        self.state = GeneratorState(time.monotonic, MISSED_HEARTBEATS * settings.ledger.heartbeat_seconds)
        self._transport = transport_for(settings)
        self.follower = WeightFollower(engine, self.state, self._transport, base_shapes(settings.model.path))
        self.sampler: QueueSampler | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; returns at once."""
        self._tasks = [
            asyncio.create_task(self._guarded(work)) for work in (self._watch_engine(), self._serve_the_queue())
        ]

    async def stop(self) -> None:
        """Give leases back and end what was begun."""
        self._transport.close()
        if self.sampler:
            await self.sampler.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """End the engine."""
        self.engine.shutdown()

    def exit_status(self) -> int:
        """1 when the engine failed."""
        return int(self.state.engine_failure is not None)

    def unready_reason(self) -> str | None:
        """Why no request should come here now; None when it may."""
        if self.state.state is State.READY:
            return self.watch.reason()
        return f"{self.state.state}: {self.state.reason}"

    def member(self) -> Member:
        """How its weights stand, and what it has done."""
        details = {
            "in_flight": self.engine.in_flight,
            "slots": self.settings.generator.max_concurrent_sequences,
            "pid": os.getpid(),
            "reason": self.state.reason or self.follower.trouble,
        }
        if self.follower.proof:
            details["canary_difference"] = self.follower.proof.trainer_difference
        if self.sampler:
            details |= asdict(self.sampler.totals)
        reason = "" if self.state.state is State.READY else self.state.reason
        return self.endpoint.member(str(self.state.state), self.state.version, details, reason)

    def numbers(self) -> dict[str, float]:
        """Engine, weights and queue."""
        proof, totals = self.follower.proof, self.sampler.totals if self.sampler else None
        numbers = {
            "ready": float(self.state.state is State.READY),
            "weight_version": self.state.version,
            "in_flight_requests": self.engine.in_flight,
            "interruptions_total": self.engine.interruptions,
            "weight_loads_total": self.follower.loads,
            "weight_load_failures_total": self.follower.failures,
        }
        if proof:
            numbers |= {
                "weight_standstill_seconds": proof.timings.standstill,
                "weight_proof_seconds": proof.timings.prove,
                "weight_fetch_seconds": proof.fetch_seconds,
            }
        if totals:
            numbers |= {f"{name}_total": value for name, value in asdict(totals).items()}
        return numbers

    def weights(self) -> dict[str, Any]:
        """What ``GET /v1/weights`` answers."""
        proof = self.follower.proof
        return {
            "version": self.state.version,
            "state": str(self.state.state),
            "reason": self.state.reason or self.follower.trouble,
            "proof": asdict(proof) if proof else None,
            "loads": self.follower.loads,
            "failures": self.follower.failures,
        }

    async def _serve_the_queue(self) -> None:
        ledger = await patiently(self.watch.failed, "the queue waits", self._open_ledger)
        await asyncio.to_thread(ledger.control.agree, "tokenizer", self.tokenizer.fingerprint, self.settings.model.path)
        self.sampler = QueueSampler(self.engine, self.state, ledger, self.tokenizer, self.endpoint.name)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.follower.run(WeightChannel(ledger.redis, ledger.keys)))
            group.create_task(self.sampler.run())

    def _open_ledger(self) -> Ledger:
        return Ledger.open(self.settings, LOOP_CALL_SECONDS, watch=self.watch)

    async def _watch_engine(self) -> None:
        while not self.engine.failed and self.state.engine_failure is None:
            self.state.beat()
            await asyncio.sleep(WATCH_SECONDS)
        raise EngineError(self.state.engine_failure or "vLLM's engine process ended")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            reason = _first_cause(error)
            logger.critical("the generator cannot go on: %s", reason)
            self.state.engine_failed(reason)
            with contextlib.suppress(ProcessLookupError):
                os.kill(os.getpid(), signal.SIGTERM)


def _first_cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
