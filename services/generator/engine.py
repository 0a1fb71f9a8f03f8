"""One vLLM engine in this process: token ids in; token ids, log-probs and weight versions out.

Invariants:
- a response leaves only while the weights are proven (:meth:`Engine.prove_load`): those that finish
  during a load wait, and those that a failed load touched are interrupted, never returned;
- a load pauses requests and never drops them; keys and values computed under other weights are
  cleared with the pause, so that every token depends on the one version it is labelled with;
- every wait has a deadline and a name.

vLLM itself labels the tokens (``CompletionOutput.weight_versions``); we only choose the labels.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from services.generator import engine_options
from vapo.messages import FinishReason, VersionSpan
from vapo.settings import Settings

if TYPE_CHECKING:
    from vllm.outputs import CompletionOutput, RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
BASE_LABEL = "default"
"""vLLM's label of the weights it started with: version 0."""
SHUTDOWN_SECONDS = 3.0


class EngineError(RuntimeError):
    """The engine cannot go on; the process has to be restarted."""


class StepTimeout(EngineError):
    """A step of the engine exceeded its deadline; the text names both."""


class GenerationInterrupted(RuntimeError):
    """A response was given up because a load failed; it can be generated again."""


class WeightsNotReady(RuntimeError):
    """No proven weights within the deadline; try again later."""


@dataclass(frozen=True)
class Sampling:
    """How one response is sampled."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Completion:
    """One finished response of L tokens, end of sequence included."""

    token_ids: list[int]
    log_probs: list[float]
    """[L] log-prob of each token under the distribution sampled from (temperature, top-p)."""
    version_spans: tuple[VersionSpan, ...]
    finish_reason: FinishReason
    text: str = ""
    """Only of streamed responses and those with stop strings; decode the token ids otherwise."""
    cached_prompt_tokens: int = 0
    """Prompt tokens whose keys came from the prefix cache."""


@dataclass(frozen=True)
class LoadTimings:
    """Seconds of one in-flight load; generation stands still for all but ``prove``."""

    pause: float
    load: float
    resume: float
    prove: float = 0.0

    @property
    def standstill(self) -> float:
        """Seconds without a decode step."""
        return self.pause + self.load + self.resume


@dataclass
class _Gate:
    """Opens while the weights are proven; remembers loads that failed."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    loads: int = 0
    failed: set[int] = field(default_factory=set)


class Engine:
    """See the module's text. Built before the event loop runs, used only inside it."""

    def __init__(self, llm: AsyncLLM, deadline_seconds: float) -> None:
        self._llm, self._deadline = llm, deadline_seconds
        self._gate = _Gate()
        self._active: dict[str, None] = {}
        self._requests_made = 0
        self.interruptions = 0
        """Responses begun again because a load failed."""

    @classmethod
    def start(cls, settings: Settings) -> Engine:
        """Start vLLM with the settings' base model; blocks until it can generate.

        Raises:
            EngineMissing: vLLM is not installed, or is its CUDA build on a machine without a GPU.
        """
        on_cpu = engine_options.is_cpu_build()
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        engine_options.check_device(on_cpu, current_platform.device_type)
        logger.info("computing on %s (vLLM's %s build is installed)",
                    current_platform.device_type, "CPU" if on_cpu else "CUDA")
        config = engine_options.engine_arguments(settings, on_cpu).create_engine_config(
            UsageContext.ENGINE_CONTEXT)
        if on_cpu:
            engine_options.fork_engine(config)
        return cls(AsyncLLM.from_vllm_config(config, disable_log_stats=True),
                   settings.generator.update_deadline_seconds)

    @property
    def context_tokens(self) -> int:
        """Longest prompt plus response."""
        return int(self._llm.model_config.max_model_len)

    @property
    def vocabulary_size(self) -> int:
        """Token ids are below this."""
        return int(self._llm.model_config.get_vocab_size())

    @property
    def tied(self) -> bool:
        """Whether the output head is the embedding."""
        return bool(getattr(self._llm.model_config.hf_text_config, "tie_word_embeddings", False))

    @property
    def half_precision(self) -> bool:
        """Whether it computes in 16 bits, so that log-probs agree only roughly."""
        return "float32" not in str(self._llm.model_config.dtype)

    @property
    def in_flight(self) -> int:
        """Requests begun and not ended."""
        return len(self._active)

    @property
    def failed(self) -> bool:
        """Whether vLLM's engine process is gone."""
        return bool(self._llm.errored)

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> Completion:
        """Sample one response; begins again when a load fails meanwhile.

        Raises:
            WeightsNotReady: no proven weights within the deadline.
            EngineError: the engine is gone.
        """
        while True:
            try:
                return await self._proven(await _last(self._outputs(prompt, sampling, False)))
            except GenerationInterrupted as error:
                self.interruptions += 1
                logger.info("a response begins again: %s", error)

    async def stream(self, prompt: Sequence[int],
                     sampling: Sampling) -> AsyncIterator[tuple[str, Completion | None]]:
        """Sample one response by pieces of text; the completion comes with the last piece.

        Raises as :meth:`generate`, and:
            GenerationInterrupted: a load failed meanwhile; what was sent cannot be taken back.
        """
        text = ""
        async for output in self._outputs(prompt, sampling, True):
            piece = output.outputs[0]
            delta, text = piece.text[len(text):], piece.text
            yield delta, await self._proven(output) if output.finished else None

    async def score(self, token_ids: Sequence[int]) -> list[float]:
        """[n - 1] log-prob of each token but the first given those before it, at temperature 1.

        Works while a load waits for its proof; never reads cached keys.
        """
        from vllm import SamplingParams

        parameters = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        final = await _last(self._requested(token_ids, parameters))
        positions: Any = final.prompt_logprobs or []
        return [position[token_id].logprob for token_id, position
                in zip(token_ids[1:], positions[1:], strict=True)]

    async def load(self, actor: Path, version: int) -> LoadTimings:
        """Load verified weights under running requests; they stay unproven until the caller says.

        Requests are paused, keep what they have generated and continue with the new weights. The
        caller proves the load with :meth:`score` and then calls :meth:`prove_load` or
        :meth:`reject_load`; no response leaves before.

        Raises:
            StepTimeout: a step exceeded ``generator.update_deadline_seconds``.
        """
        self._gate.open.clear()
        self._gate.loads += 1
        started = time.monotonic()
        await self._within("pausing generation", self._llm.pause_generation(mode="keep"))
        paused = time.monotonic()
        try:
            await self._replace_weights(actor, f"{version}/{self._gate.loads}")
        except BaseException:
            # Half-loaded layers must never run: nothing may be left to resume.
            await self.reject_load()
            raise
        finally:
            loaded = time.monotonic()
            await self._within("resuming generation", self._llm.resume_generation())
        return LoadTimings(paused - started, loaded - paused, time.monotonic() - loaded)

    def prove_load(self) -> None:
        """The present weights are proven: let responses leave."""
        self._gate.open.set()

    async def reject_load(self) -> None:
        """The present weights are not to be trusted: give up every response they touched."""
        self._gate.failed.add(self._gate.loads)
        await self._llm.abort(list(self._active), internal=False)

    def shutdown(self) -> None:
        """End vLLM's engine process: a request first, then by force."""
        self._llm.shutdown(timeout=SHUTDOWN_SECONDS)

    async def _replace_weights(self, actor: Path, label: str) -> None:
        from vllm.distributed.weight_transfer.base import WeightTransferUpdateRequest

        request = WeightTransferUpdateRequest(update_info={"path": str(actor.resolve())})
        await self._within("starting the weight update", self._llm.start_weight_update())
        await self._within(f"loading {actor}", self._llm.update_weights(request))
        await self._within("finishing the weight update",
                           self._llm.finish_weight_update(weight_version=label))

    async def _outputs(self, prompt: Sequence[int], sampling: Sampling,
                       streamed: bool) -> AsyncIterator[RequestOutput]:
        await self._wait_until_proven()
        async for output in self._requested(prompt, _parameters(sampling, streamed)):
            yield output

    async def _requested(self, prompt: Sequence[int],
                         parameters: Any) -> AsyncIterator[RequestOutput]:
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        async with self._request_id() as request_id:
            try:
                async for output in self._llm.generate(tokens_input(list(prompt)), parameters,
                                                       request_id):
                    yield output
            except (EngineDeadError, EngineGenerateError) as error:
                raise EngineError(f"vLLM's engine failed: {error}") from error

    @asynccontextmanager
    async def _request_id(self) -> AsyncIterator[str]:
        self._requests_made += 1
        request_id = f"r{self._requests_made}"
        self._active[request_id] = None
        try:
            yield request_id
        finally:
            del self._active[request_id]

    async def _proven(self, output: RequestOutput) -> Completion:
        piece = output.outputs[0]
        if piece.finish_reason not in ("stop", "length"):
            raise GenerationInterrupted(f"vLLM ended the response with {piece.finish_reason!r}")
        await self._wait_until_proven()
        spans = piece.weight_versions or []
        if self._gate.failed & {_load_of(span.version) for span in spans}:
            raise GenerationInterrupted("tokens were sampled under weights whose load failed")
        return Completion(
            token_ids=list(piece.token_ids), log_probs=_log_probs(piece),
            version_spans=tuple(VersionSpan(_version_of(span.version), span.start, span.end)
                                for span in spans),
            finish_reason=piece.finish_reason,  # type: ignore[arg-type]
            text=piece.text, cached_prompt_tokens=output.num_cached_tokens or 0)

    async def _wait_until_proven(self) -> None:
        if self._gate.open.is_set():
            return
        try:
            await asyncio.wait_for(self._gate.open.wait(), self._deadline)
        except TimeoutError:
            raise WeightsNotReady(f"no proven weights within {self._deadline:g} s "
                                  "(generator.update_deadline_seconds)") from None

    async def _within(self, step: str, awaitable: Awaitable[Result]) -> Result:
        try:
            return await asyncio.wait_for(awaitable, self._deadline)
        except TimeoutError:
            raise StepTimeout(f"{step} took longer than {self._deadline:g} s "
                              "(generator.update_deadline_seconds)") from None


def _parameters(sampling: Sampling, streamed: bool) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # Detokenising and handing over every token costs as much as a third of decoding on CPU; only
    # streams and stop strings need it.
    return SamplingParams(
        temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_new_tokens,
        seed=sampling.seed, stop=list(sampling.stop) or None, logprobs=0,
        flat_logprobs=True, detokenize=streamed or bool(sampling.stop),
        output_kind=RequestOutputKind.CUMULATIVE if streamed else RequestOutputKind.FINAL_ONLY)


async def _last(outputs: AsyncIterator[RequestOutput]) -> RequestOutput:
    final = None
    async for output in outputs:
        final = output
    if final is None:
        raise EngineError("vLLM ended a request without an output")
    return final


def _log_probs(piece: CompletionOutput) -> list[float]:
    flat: Any = piece.logprobs
    if list(flat.token_ids) != list(piece.token_ids):
        raise EngineError("vLLM's log-probs are not those of the sampled tokens: "
                          f"{len(piece.token_ids)} tokens, {len(flat.token_ids)} log-probs")
    return list(flat.logprobs)


def _version_of(label: str) -> int:
    return 0 if label == BASE_LABEL else int(label.partition("/")[0])


def _load_of(label: str) -> int:
    return 0 if label == BASE_LABEL else int(label.partition("/")[2])
