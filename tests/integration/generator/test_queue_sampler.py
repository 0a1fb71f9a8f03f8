"""The queue worker on a real ledger, with an engine that fails as real ones do not on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.generator.engine.samples import Completion, Sampling
from services.generator.engine.vllm_engine import EngineError, RequestRefused, WeightsNotReady
from services.generator.queue_sampler import QueueSampler
from services.generator.state import GeneratorState, State
from tests.support.ledger_records import task
from tests.support.running_redis import RunningRedis
from vapo.ledger import Ledger
from vapo.messages import VersionSpan
from vapo.model.text.tokenizer import PromptTokenizer, load_tokenizer
from vapo.settings import Settings, load_settings

MODEL = Path(__file__).parents[3] / "vapo" / "assets" / "chain-base"
Behaviour = Callable[[Sampling], Completion]


def completion(_: Sampling, log_prob: float = -0.5) -> Completion:
    """Three tokens."""
    return Completion([5, 6, 7], [log_prob] * 3, (VersionSpan(0, 0, 3),), "length")


class ScriptedEngine:
    """Answers as told; each call takes a moment."""

    context_tokens, vocabulary_size = 512, 99

    def __init__(self, behave: Behaviour = completion, seconds: float = 0.0) -> None:
        self.behave, self.seconds = behave, seconds
        self.samplings: list[Sampling] = []

    async def generate(self, _: list[int], sampling: Sampling) -> Completion:
        """One response."""
        self.samplings.append(sampling)
        await asyncio.sleep(self.seconds)
        return self.behave(sampling)


@pytest.fixture(scope="module")
def tokenizer() -> PromptTokenizer:
    """The shipped model's."""
    return load_tokenizer(MODEL)


def ready() -> GeneratorState:
    """A generator with proven weights."""
    state = GeneratorState(time.monotonic, 1000.0)
    state.load_started(0)
    state.load_proved(0)
    return state


@asynccontextmanager
async def working(
    engine: ScriptedEngine, ledger: Ledger, tokenizer: PromptTokenizer, state: GeneratorState | None = None
) -> AsyncIterator[QueueSampler]:
    """A running worker; given up without goodbye at the end."""
    worker = QueueSampler(engine, state or ready(), ledger, tokenizer, "worker-1")  # type: ignore[arg-type]
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)


def made(ledger: Ledger, task_id: str) -> int:
    """Responses of a task that exist."""
    record = ledger.task(task_id)
    assert record is not None
    return record.made


@pytest.mark.parametrize(
    ("log_prob", "said"), [(float("nan"), "'not finite'"), (float("inf"), "'not finite'"), (0.3, "0.3")]
)
async def test_log_probs_that_no_model_gives_become_a_dead_letter(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer, log_prob: float, said: str
) -> None:
    ledger = make_ledger()
    ledger.submit([task("broken")])
    engine = ScriptedEngine(lambda sampling: completion(sampling, log_prob))
    async with working(engine, ledger, tokenizer):
        await eventually(lambda: bool(ledger.dead_letters.list()))
        (letter,) = ledger.dead_letters.list()
        assert (letter.id, letter.samples) == ("broken", "0,1")
        assert f"behaviour_log_probs is {said}" in letter.reason
        engine.behave = completion
        ledger.submit([task("fine")])
        await eventually(lambda: made(ledger, "fine") == 2)


async def test_a_log_prob_above_0_by_rounding_is_0(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer
) -> None:
    ledger = make_ledger()
    ledger.submit([task("sure", samples=1)])
    engine = ScriptedEngine(lambda sampling: completion(sampling, 1e-7))
    async with working(engine, ledger, tokenizer):
        await eventually(lambda: made(ledger, "sure") == 1)
    assert ledger.rollout("sure.0").generated.behaviour_log_probs.tolist() == [0.0] * 3


async def test_one_bad_sample_does_not_cost_the_good_ones(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer
) -> None:
    ledger = make_ledger()
    ledger.submit([task("half", samples=4)])
    calls = iter([-0.5, float("nan"), -0.5, -0.5])
    engine = ScriptedEngine(lambda sampling: completion(sampling, next(calls)))
    async with working(engine, ledger, tokenizer):
        await eventually(lambda: bool(ledger.dead_letters.list()))
    (letter,) = ledger.dead_letters.list()
    assert made(ledger, "half") == 3
    assert len(letter.samples.split(",")) == 1


async def test_what_the_engine_refuses_is_buried_at_once_with_its_reason(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = make_ledger()
    ledger.submit([task("refused", samples=3)])

    def refuse(_: Sampling) -> Completion:
        raise RequestRefused("temperature must be in [0, 2], got 3.0.")

    async with working(ScriptedEngine(refuse), ledger, tokenizer):
        await eventually(lambda: bool(ledger.dead_letters.list()))
    (letter,) = ledger.dead_letters.list()
    assert "temperature must be in [0, 2], got 3.0." in letter.reason
    assert letter.samples == "0,1,2"
    assert not [record for record in caplog.records if record.exc_info]


async def test_attempts_that_fail_end_in_a_dead_letter_with_the_last_reason(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = make_ledger("ledger.lease_seconds=0.2", "ledger.max_attempts=3")
    attempts: list[int] = []

    def fail(_: Sampling) -> Completion:
        attempts.append(len(attempts))
        raise RuntimeError(f"attempt {len(attempts)} broke")

    ledger.submit([task("broken", samples=1)])
    async with working(ScriptedEngine(fail), ledger, tokenizer):
        await eventually(lambda: bool(ledger.dead_letters.list()))
    (letter,) = ledger.dead_letters.list()
    assert len(attempts) == 3
    assert "failed 3 times (ledger.max_attempts=3); last: RuntimeError: attempt 3 broke" in letter.reason
    told = [record for record in caplog.records if "broke" in record.getMessage()]
    assert len(told) == 3, "every attempt is told"
    assert sum(bool(record.exc_info) for record in told) == 1, "with one traceback"


async def test_an_engine_that_dies_of_a_task_leaves_its_reason_for_the_dead_letter(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer
) -> None:
    ledger = make_ledger("ledger.lease_seconds=0.2", "ledger.max_attempts=2")
    ledger.submit([task("deadly", samples=1)])

    def die(_: Sampling) -> Completion:
        raise EngineError("vLLM's engine failed: out of memory")

    for _ in range(2):
        state = ready()
        async with working(ScriptedEngine(die), ledger, tokenizer, state):
            await eventually(lambda state=state: state.state is State.DEAD)  # type: ignore[misc]
            await asyncio.sleep(0.1)
    async with working(ScriptedEngine(), ledger, tokenizer):
        await eventually(lambda: bool(ledger.dead_letters.list()))
    (letter,) = ledger.dead_letters.list()
    assert "delivered 2 times without a result" in letter.reason
    assert "out of memory" in letter.reason


async def test_every_sample_has_its_own_seed_whoever_generates_it(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer
) -> None:
    seeds = []
    for _ in range(2):
        ledger, engine = make_ledger(), ScriptedEngine()
        ledger.submit([task("a", samples=8)])
        async with working(engine, ledger, tokenizer):
            await eventually(lambda ledger=ledger: made(ledger, "a") == 8)  # type: ignore[misc]
        seeds.append({sampling.seed for sampling in engine.samplings})
    assert seeds[0] == seeds[1]
    assert len(seeds[0]) == 8


async def test_nothing_is_leased_without_proven_weights(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer
) -> None:
    ledger, state = make_ledger(), GeneratorState(time.monotonic, 1000.0)
    ledger.submit([task("waiting")])
    async with working(ScriptedEngine(), ledger, tokenizer, state):
        await asyncio.sleep(0.3)
        assert made(ledger, "waiting") == 0
        state.load_started(0)
        state.load_proved(0)
        await eventually(lambda: made(ledger, "waiting") == 2)


async def test_weights_that_are_late_are_waited_for(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer
) -> None:
    ledger, failures = make_ledger(), iter([True, True, False, False])

    def late(sampling: Sampling) -> Completion:
        if next(failures):
            raise WeightsNotReady("no proven weights within 1 s")
        return completion(sampling)

    ledger.submit([task("patient")])
    async with working(ScriptedEngine(late), ledger, tokenizer):
        await eventually(lambda: made(ledger, "patient") == 2)
    assert ledger.dead_letters.list() == []


async def test_a_failed_engine_is_declared_dead_and_its_task_goes_to_another(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer
) -> None:
    ledger, state = make_ledger("ledger.lease_seconds=0.5"), ready()

    def fail(_: Sampling) -> Completion:
        raise EngineError("vLLM's engine failed")

    ledger.submit([task("moved")])
    async with working(ScriptedEngine(fail), ledger, tokenizer, state):
        await eventually(lambda: state.state is State.DEAD)
    async with working(ScriptedEngine(), ledger, tokenizer):
        await eventually(lambda: made(ledger, "moved") == 2)


async def test_stopping_gives_the_leases_back(make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer) -> None:
    ledger = make_ledger()
    ledger.submit([task("long")])
    async with working(ScriptedEngine(seconds=60), ledger, tokenizer) as worker:
        await eventually(lambda: worker.free_slots < 256)
        started = time.monotonic()
        await worker.stop()
        assert time.monotonic() - started < 2
    async with working(ScriptedEngine(), ledger, tokenizer):
        await eventually(lambda: made(ledger, "long") == 2, seconds=2)


async def test_a_dead_workers_task_is_taken_over_and_only_missing_samples_are_made(
    make_ledger: Callable[..., Ledger], tokenizer: PromptTokenizer
) -> None:
    ledger = make_ledger("ledger.lease_seconds=0.5")
    ledger.submit([task("shared", samples=2)])
    calls = iter([0.0, 60.0])
    engine = ScriptedEngine()

    async def first_only(prompt: list[int], sampling: Sampling) -> Completion:
        await asyncio.sleep(next(calls))
        return completion(sampling)

    engine.generate = first_only  # type: ignore[method-assign]
    async with working(engine, ledger, tokenizer):
        await eventually(lambda: made(ledger, "shared") == 1)
    survivor = ScriptedEngine()
    async with working(survivor, ledger, tokenizer):
        await eventually(lambda: made(ledger, "shared") == 2)
    assert len(survivor.samplings) == 1


async def test_it_outlives_a_redis_that_is_killed(own_redis: RunningRedis, tokenizer: PromptTokenizer) -> None:
    settings: Settings = load_settings(
        None, ["ledger.lease_seconds=2"], {}, {"run": {"name": "restart"}, "redis": own_redis.settings.model_dump()}
    )
    ledger = Ledger.open(settings, patience_seconds=1.0)
    for number in range(20):
        ledger.submit([task(f"t{number}")])
    async with working(ScriptedEngine(seconds=0.5), ledger, tokenizer):
        await eventually(lambda: ledger.counters().get("generated", 0) > 0)
        for number in range(20, 40):
            ledger.submit([task(f"t{number}")])
        await asyncio.sleep(0.1)
        own_redis.kill()
        await asyncio.sleep(1.0)
        own_redis.start()
        await eventually(lambda: ledger.counters().get("generated", 0) == 80, seconds=30)
    assert all(made(ledger, f"t{number}") == 2 for number in range(40))
    ledger.redis.close()
