"""The queue side: leases tasks, generates their missing samples, records each as soon as it ends.

Invariants:
- tasks are leased only while the weights are proven and engine slots are free;
- every response goes to the ledger on its own, at once: a crash loses only what was being
  generated;
- a task's lease ends when all its samples exist, in the dead letters with a reason, or by giving
  the missing samples back; a worker that dies is taken over, and only the missing samples are made
  again;
- a task that cannot be served (its prompt does not fit, the engine refuses it, its log-probs are
  not finite) is buried at once with its reason; one whose attempts fail, after the last of them.

Redis calls run in threads; everything else in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from redis.exceptions import RedisError

from services.generator.engine.samples import Completion, Sampling
from services.generator.engine.vllm_engine import Engine, EngineError, RequestRefused, WeightsNotReady
from services.generator.prompts import PromptError, check_prompt
from services.generator.sample_seeds import sample_seed
from services.generator.state import GeneratorState, State
from vapo.ledger import Lease, Ledger
from vapo.ledger.keys import TASK_STAGES
from vapo.ledger.patient_loop import Result, patiently
from vapo.messages import Floats, Generated, MessageError, Task, float_array, token_array
from vapo.model.text.tokenizer import PromptTokenizer
from vapo.telemetry.failure_log import FailureLog, reason_of

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.05
"""Between looks at an empty queue."""
GIVE_BACK_SECONDS = 3.0
"""For giving leases back at shutdown; what is not given back in time is taken over later."""


ROUNDING = 1e-4
"""A log-prob this little above 0 is the engine's arithmetic; one further above is a fault."""


class Refused(RuntimeError):
    """A task that no attempt can serve."""


@dataclass
class Totals:
    """Counts since the process began."""

    rollouts: int = 0
    tokens: int = 0
    refused: int = 0


class QueueSampler:
    """Serves the ledger with one engine."""

    def __init__(
        self, engine: Engine, state: GeneratorState, ledger: Ledger, tokenizer: PromptTokenizer, name: str
    ) -> None:
        self._engine, self._state, self._ledger, self._name = engine, state, ledger, name
        self._tokenizer = tokenizer
        self._settings = ledger.settings
        self._slots = self._settings.generator.max_concurrent_sequences
        self._free = asyncio.Semaphore(self._slots)
        self._busy, self._stopping = 0, False
        self._leasing = asyncio.Lock()
        self._held: dict[str, tuple[Lease, asyncio.Task[None]]] = {}
        self._failures = FailureLog(logger)
        self.totals = Totals()

    @property
    def free_slots(self) -> int:
        """Sequences the engine could take on now; negative when samples wait for slots."""
        return self._slots - self._busy

    async def run(self) -> None:
        """Work until stopped or cancelled; survives Redis being away."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(IDLE_SECONDS, self._lease_new))
            group.create_task(self._every(self._lease_seconds / 3, self._renew))
            group.create_task(self._every(self._lease_seconds / 2, self._take_over))

    async def stop(self) -> None:
        """Lease nothing more, give up what is being generated and give the leases back."""
        self._stopping = True
        await self._leases_under_way()
        held = list(self._held.values())
        for _, work in held:
            work.cancel()
        await asyncio.gather(*(work for _, work in held), return_exceptions=True)
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                give_back = self._ledger.finish_task_lease
                await asyncio.gather(*(asyncio.to_thread(give_back, lease, True) for lease, _ in held))
        except (TimeoutError, RedisError) as error:
            logger.warning(
                "%d leases were not all given back (%r); others take them over after %g s",
                len(held),
                error,
                self._lease_seconds,
            )

    async def _leases_under_way(self) -> None:
        """Wait for the ledger's answers to calls made before the stop: none is forgotten."""
        try:
            async with asyncio.timeout(GIVE_BACK_SECONDS), self._leasing:
                return
        except TimeoutError:
            logger.warning(
                "the ledger did not answer within %g s; what it leased meanwhile is taken over after %g s",
                GIVE_BACK_SECONDS,
                self._lease_seconds,
            )

    @property
    def _lease_seconds(self) -> float:
        return self._settings.ledger.lease_seconds

    async def _every(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:
            await step()
            await asyncio.sleep(seconds)

    async def _lease_new(self) -> None:
        async with self._leasing:
            wanted = self._tasks_wanted()
            if wanted:
                self._begin(await self._patiently(self._ledger.lease_tasks, self._name, wanted, self._state.version))

    async def _take_over(self) -> None:
        for stage in TASK_STAGES:
            async with self._leasing:
                wanted = self._tasks_wanted()
                if wanted:
                    self._begin(await self._patiently(self._ledger.take_over, stage, self._name, wanted))

    async def _renew(self) -> None:
        if self._held:
            await self._patiently(self._ledger.renew, self._name, [lease for lease, _ in self._held.values()])

    def _tasks_wanted(self) -> int:
        if self._state.state is not State.READY or self.free_slots <= 0 or self._stopping:
            return 0
        return math.ceil(self.free_slots / self._settings.sampling.samples_per_prompt)

    def _begin(self, leases: Sequence[Lease]) -> None:
        # A lease of our own that ran out while Redis was away comes back here; it is still served.
        for lease in leases:
            if lease.entry not in self._held:
                self._busy += len(lease.samples)
                work = asyncio.create_task(self._serve(lease), name=f"task {lease.id}")
                self._held[lease.entry] = lease, work

    async def _serve(self, lease: Lease) -> None:
        try:
            await self._work(lease)
        except EngineError as error:
            self._state.engine_failed(str(error))
            await self._patiently(self._ledger.note_failure, lease, reason_of(error))
        except Exception as error:
            # The lease runs out and the task is delivered again, at most ledger.max_attempts times.
            self._failures.tell(f"task {lease.id}", error)
            await self._patiently(self._ledger.fail, lease, reason_of(error))
        finally:
            self._busy -= len(lease.samples)
            if not self._stopping:
                del self._held[lease.entry]

    async def _work(self, lease: Lease) -> None:
        try:
            task = await self._load(lease)
            missing = await self._patiently(self._ledger.missing_samples, lease)
            refusals = await asyncio.gather(*(self._sample(task, sample) for sample in missing))
            reasons = dict.fromkeys(reason for reason in refusals if reason)
            if reasons:
                raise Refused("; ".join(reasons))
        except (Refused, PromptError, MessageError) as error:
            self.totals.refused += 1
            logger.warning("task %s refused: %s", lease.id, error)
            await self._patiently(self._ledger.bury, lease, str(error))
        else:
            await self._patiently(self._ledger.finish_task_lease, lease)

    async def _load(self, lease: Lease) -> Task:
        record = await self._patiently(self._ledger.task, lease.id)
        if record is None or record.task is None:
            raise Refused("its record is gone")
        check_prompt(
            record.task.prompt_token_ids.tolist(), self._engine.context_tokens, self._tokenizer.vocabulary_size
        )
        return record.task

    async def _sample(self, task: Task, sample: int) -> str | None:
        """Generate and record one sample; returns why it is refused, or None."""
        try:
            async with self._free:
                completion = await self._generated(task, sample)
            generated = self._record_of(completion)
        except (RequestRefused, MessageError) as error:
            return str(error)
        self.totals.rollouts += 1
        self.totals.tokens += len(completion.token_ids)
        await self._patiently(self._ledger.record_generated, task.id, sample, generated)
        return None

    async def _generated(self, task: Task, sample: int) -> Completion:
        prompt = task.prompt_token_ids.tolist()
        while True:
            try:
                return await self._engine.generate(prompt, self._sampling(task, sample))
            except WeightsNotReady as error:
                logger.warning("sample %s.%d waits: %s", task.id, sample, error)

    def _sampling(self, task: Task, sample: int) -> Sampling:
        run, own = self._settings.sampling, task.sampling
        room = self._engine.context_tokens - task.prompt_token_ids.size
        return Sampling(
            max_new_tokens=min(own.max_new_tokens or run.max_new_tokens, room),
            temperature=run.temperature if own.temperature is None else own.temperature,
            top_p=run.top_p if own.top_p is None else own.top_p,
            seed=sample_seed(self._settings.run.seed, task.id, sample),
        )

    def _record_of(self, completion: Completion) -> Generated:
        return Generated(
            token_ids=token_array(completion.token_ids),
            behaviour_log_probs=_without_rounding(float_array(completion.log_probs)),
            version_spans=completion.version_spans,
            finish_reason=completion.finish_reason,
            text=self._tokenizer.fast.decode(completion.token_ids, skip_special_tokens=True),
            generator=self._name,
        )

    async def _patiently(self, call: Callable[..., Result], *arguments: object) -> Result:
        return await patiently(self._ledger.watch.failed, "the queue waits", call, *arguments)


def _without_rounding(log_probs: Floats) -> Floats:
    """[L] Log-probs that are above 0 by rounding alone as 0; others as they are."""
    rounded = (log_probs > 0) & (log_probs <= ROUNDING)
    return np.where(rounded, np.float32(0), log_probs)
