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

from services.generator.engine import engine_options, vllm_forms
from services.generator.engine.samples import Completion, Piece, Sampling
from vapo.messages import VersionSpan
from vapo.settings import Settings
from vapo.telemetry.failure_log import reason_of

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
BASE_LABEL = "default"
"""vLLM's label of the weights it started with: version 0."""
SHUTDOWN_SECONDS = 3.0
NOT_SENDABLE = (ValueError, TypeError, OverflowError)
"""What vLLM raises, beside its own errors, at a request that no engine could read."""


class EngineError(RuntimeError):
    """The engine cannot go on; the process has to be restarted."""


class StepTimeout(EngineError):
    """A step of the engine exceeded its deadline; the text names both."""


class RequestRefused(ValueError):
    """vLLM refuses this request, and would every time; the text is its reason."""


class RequestFailed(RuntimeError):
    """vLLM failed at this request, and goes on serving others; the text is its reason."""


class GenerationInterrupted(RuntimeError):
    """A response was given up because a load failed; it can be generated again."""


class WeightsNotReady(RuntimeError):
    """No proven weights within the deadline; try again later."""


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
            EngineRefusal: vLLM refuses the model or the settings.
        """
        on_cpu = engine_options.is_cpu_build()
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        engine_options.check_device(on_cpu, current_platform.device_type)
        logger.info(
            "computing on %s (vLLM's %s build is installed)", current_platform.device_type, "CPU" if on_cpu else "CUDA"
        )
        config = engine_options.engine_config(settings, on_cpu)
        if on_cpu:
            engine_options.fork_engine(config)
        return cls(
            AsyncLLM.from_vllm_config(config, disable_log_stats=True), settings.generator.update_deadline_seconds
        )

    @property
    def context_tokens(self) -> int:
        """Longest prompt plus response."""
        return int(self._llm.model_config.max_model_len)

    @property
    def vocabulary_size(self) -> int:
        """Token ids are below this."""
        return int(self._llm.model_config.get_vocab_size())

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
            RequestRefused: vLLM will not serve this request, ever.
            RequestFailed: vLLM could not serve it this time.
            EngineError: the engine is gone.
        """
        while True:
            try:
                final = await _last(self._outputs(prompt, sampling, False))
                return await self._proven(final, sampling, streamed=False)
            except GenerationInterrupted as error:
                self.interruptions += 1
                logger.info("a response begins again: %s", error)

    async def stream(self, prompt: Sequence[int], sampling: Sampling) -> AsyncIterator[Piece]:
        """Sample one response piece by piece; the completion comes with the last.

        Raises as :meth:`generate`, and:
            GenerationInterrupted: a load failed meanwhile; what was sent cannot be taken back.
        """
        text, told, first = "", 0, True
        async for output in self._outputs(prompt, sampling, True):
            seen = output.outputs[0]
            completion = await self._proven(output, sampling, True) if output.finished else None
            yield Piece(
                seen.text[len(text) :],
                list(seen.token_ids[told:]),
                () if sampling.ranked is None else vllm_forms.positions(seen.logprobs, told),
                vllm_forms.positions(output.prompt_logprobs) if first else (),
                completion,
            )
            text, told, first = seen.text, len(seen.token_ids), False

    async def score(self, token_ids: Sequence[int]) -> list[float]:
        """[n - 1] log-prob of each token but the first given those before it, at temperature 1.

        Works while a load waits for its proof; never reads cached keys.
        """
        from vllm import SamplingParams

        parameters = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        final = await _last(self._requested(token_ids, parameters))
        positions: Any = final.prompt_logprobs or []
        return [position[token_id].logprob for token_id, position in zip(token_ids[1:], positions[1:], strict=True)]

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
        await self._within("finishing the weight update", self._llm.finish_weight_update(weight_version=label))

    async def _outputs(self, prompt: Sequence[int], sampling: Sampling, streamed: bool) -> AsyncIterator[RequestOutput]:
        from vllm.exceptions import VLLMClientError

        await self._wait_until_proven()
        try:
            parameters = vllm_forms.sampling_parameters(sampling, streamed)
        except (VLLMClientError, *NOT_SENDABLE) as error:
            raise RequestRefused(str(error)) from None
        async for output in self._requested(prompt, parameters):
            yield output

    async def _requested(self, prompt: Sequence[int], parameters: SamplingParams) -> AsyncIterator[RequestOutput]:
        from vllm.exceptions import VLLMClientError
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        async with self._request_id() as request_id:
            try:
                async for output in self._llm.generate(tokens_input(list(prompt)), parameters, request_id):
                    yield output
            except VLLMClientError as error:
                raise RequestRefused(str(error)) from None
            except (EngineDeadError, EngineGenerateError) as error:
                raise self._failure(error) from error

    def _failure(self, error: Exception) -> Exception:
        cause = error.__cause__
        if self._llm.errored or cause is None:
            return EngineError(f"vLLM's engine failed: {error}")
        kind = RequestRefused if isinstance(cause, NOT_SENDABLE) else RequestFailed
        return kind(reason_of(cause))

    @asynccontextmanager
    async def _request_id(self) -> AsyncIterator[str]:
        self._requests_made += 1
        request_id = f"r{self._requests_made}"
        self._active[request_id] = None
        try:
            yield request_id
        finally:
            del self._active[request_id]

    async def _proven(self, output: RequestOutput, sampling: Sampling, streamed: bool) -> Completion:
        piece = output.outputs[0]
        if piece.finish_reason == "abort":
            raise GenerationInterrupted("vLLM gave the response up")
        if piece.finish_reason not in ("stop", "length"):
            raise RequestFailed(f"vLLM ended the response with {piece.finish_reason!r}")
        await self._wait_until_proven()
        spans = piece.weight_versions or []
        if self._gate.failed & {_load_of(span.version) for span in spans}:
            raise GenerationInterrupted("tokens were sampled under weights whose load failed")
        try:
            log_probs = vllm_forms.log_probs(piece)
        except ValueError as error:
            raise EngineError(str(error)) from None
        return Completion(
            token_ids=list(piece.token_ids),
            log_probs=log_probs,
            version_spans=tuple(VersionSpan(_version_of(span.version), span.start, span.end) for span in spans),
            finish_reason=piece.finish_reason,  # type: ignore[arg-type]
            text=piece.text if vllm_forms.detokenized(sampling, streamed) else None,
            cached_prompt_tokens=output.num_cached_tokens or 0,
            positions=() if sampling.ranked is None else vllm_forms.positions(piece.logprobs),
            prompt_positions=vllm_forms.positions(output.prompt_logprobs),
        )

    async def _wait_until_proven(self) -> None:
        if self._gate.open.is_set():
            return
        try:
            await asyncio.wait_for(self._gate.open.wait(), self._deadline)
        except TimeoutError:
            raise WeightsNotReady(
                f"no proven weights within {self._deadline:g} s (generator.update_deadline_seconds)"
            ) from None

    async def _within(self, step: str, awaitable: Awaitable[Result]) -> Result:
        try:
            return await asyncio.wait_for(awaitable, self._deadline)
        except TimeoutError:
            raise StepTimeout(
                f"{step} took longer than {self._deadline:g} s (generator.update_deadline_seconds)"
            ) from None


async def _last(outputs: AsyncIterator[RequestOutput]) -> RequestOutput:
    final = None
    async for output in outputs:
        final = output
    if final is None:
        raise EngineError("vLLM ended a request without an output")
    return final


def _version_of(label: str) -> int:
    return 0 if label == BASE_LABEL else int(label.partition("/")[0])


def _load_of(label: str) -> int:
    return 0 if label == BASE_LABEL else int(label.partition("/")[2])
