"""The generator's HTTP side: OpenAI-form completions, token-level generation, weights in use.

Invariant: a request that cannot be served is told why with a 4xx or 503 problem document, and never
reaches the engine.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse

from services.generator.answers import (
    Kind,
    generate_answer,
    newest_version,
    openai_answer,
    openai_stream,
    stream_error,
)
from services.generator.engine import (
    Completion,
    Engine,
    EngineError,
    GenerationInterrupted,
    Sampling,
    WeightsNotReady,
)
from services.generator.prompts import PromptError, check_prompt
from services.generator.requests import (
    ChatRequest,
    CompletionRequest,
    GenerateRequest,
    OpenAIRequest,
    Sampled,
    sampling_of,
)
from services.generator.runtime import Runtime
from services.generator.state import State
from vapo.problems import Problem
from vapo.service import USER, create_app, require
from vapo.settings import Settings
from vapo.telemetry import MappingCollector, new_registry
from vapo.tokenizer import PromptTokenizer, TokenizerError

RETRY_LATER = {"Retry-After": "1"}
POLICY_NAME = "policy"
"""A name for the model that every client may use, whatever folder it came from."""


def build_app(runtime: Runtime, tokenizer: PromptTokenizer) -> FastAPI:
    """The HTTP app; ``runtime`` starts and stops with it."""
    registry = new_registry()
    registry.register(MappingCollector("vapo_generator", "Generator", runtime.metrics))
    app = create_app("generator", runtime.settings, runtime.unready_reason, registry,
                     on_start=runtime.start, on_stop=runtime.stop)
    app.include_router(_routes(Front(runtime, tokenizer)), dependencies=[require(USER)])
    return app


def _routes(front: Front) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["generation"])

    @router.post("/generate")
    async def generate(body: GenerateRequest) -> dict[str, Any]:
        """Token ids in; token ids, log-probs and weight-version spans out."""
        return await front.generate(body)

    @router.post("/completions")
    async def completions(body: CompletionRequest) -> Any:
        """Continue a text (OpenAI form)."""
        return await front.openai("completion", body, front.prompt_of(body))

    @router.post("/chat/completions")
    async def chat_completions(body: ChatRequest) -> Any:
        """Answer a conversation (OpenAI form)."""
        return await front.openai("chat", body, front.conversation_of(body))

    @router.get("/weights")
    async def weights() -> dict[str, Any]:
        """Version, state, and the last load's proof: checksum, canary log-probs, timings."""
        return front.runtime.weights()

    return router


class Front:
    """Between the HTTP forms and the engine."""

    def __init__(self, runtime: Runtime, tokenizer: PromptTokenizer) -> None:
        self.runtime, self._tokenizer = runtime, tokenizer
        self._engine: Engine = runtime.engine
        self._settings: Settings = runtime.settings
        self._model = self._settings.model.path.name

    async def generate(self, body: GenerateRequest) -> dict[str, Any]:
        """Answer ``/v1/generate``."""
        prompt = body.prompt_token_ids
        samplings = self._samplings(body, prompt, body.max_new_tokens)
        completions = await self._sampled(prompt, samplings)
        return generate_answer(self._model, completions, [self._text(one) for one in completions])

    async def openai(self, kind: Kind, body: OpenAIRequest, prompt: list[int]) -> Any:
        """Answer in OpenAI's form, whole or as a stream."""
        self._check_model(body.model)
        samplings = self._samplings(body, prompt, body.max_tokens, body.stops)
        if body.stream:
            self._check_open()
            usage = bool(body.stream_options and body.stream_options.include_usage)
            events = openai_stream(kind, self._model, len(prompt), usage,
                                   self._engine.stream(prompt, samplings[0]))
            return StreamingResponse(_with_errors(events), media_type="text/event-stream")
        completions = await self._sampled(prompt, samplings)
        return openai_answer(kind, self._model, len(prompt), completions,
                             [self._text(one) for one in completions])

    def prompt_of(self, body: CompletionRequest) -> list[int]:
        """Token ids of a completion's prompt."""
        if isinstance(body.prompt, list):
            return body.prompt
        return self._encoded(lambda: self._tokenizer.encode_prompt(str(body.prompt), raw=True))

    def conversation_of(self, body: ChatRequest) -> list[int]:
        """Token ids of a conversation."""
        messages = [message.model_dump(exclude_none=True) for message in body.messages]
        return self._encoded(lambda: self._tokenizer.encode_messages(messages))

    def _samplings(self, body: Sampled, prompt: Sequence[int], asked: int | None,
                   stop: tuple[str, ...] = ()) -> list[Sampling]:
        context = self._engine.context_tokens
        try:
            check_prompt(prompt, context, self._tokenizer.vocabulary_size)
        except PromptError as error:
            raise Problem(422, str(error)) from None
        room = context - len(prompt)
        if asked is not None and asked > room:
            raise Problem(422, f"{asked} new tokens do not fit: the prompt has {len(prompt)}, the "
                               f"model's context {context} (model.max_context_tokens); ask for at "
                               f"most {room}")
        return [sampling_of(body, asked, self._settings.sampling, room, sample, stop)
                for sample in range(body.n)]

    async def _sampled(self, prompt: Sequence[int], samplings: list[Sampling]) -> list[Completion]:
        self._check_open()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._engine.generate(prompt, sampling))
                         for sampling in samplings]
        except* (WeightsNotReady, EngineError) as errors:
            raise Problem(503, str(errors.exceptions[0]), RETRY_LATER) from None
        completions = [task.result() for task in tasks]
        if not all(math.isfinite(value) for one in completions for value in one.log_probs):
            raise Problem(500, "log-probs of this response are not finite; the weights of version "
                               f"{newest_version(completions)} are broken for this prompt")
        return completions

    def _check_open(self) -> None:
        state = self.runtime.state
        if state.state not in (State.READY, State.LOADING):
            raise Problem(503, f"{state.state}: {state.reason}", RETRY_LATER)
        limit = 2 * self._settings.generator.max_concurrent_sequences
        if self._engine.in_flight >= limit:
            raise Problem(429, f"{limit} requests are in flight already; retry later or add "
                               "generators", RETRY_LATER)

    def _check_model(self, asked: str | None) -> None:
        known = (self._model, POLICY_NAME, self._settings.run.name)
        if asked is not None and asked not in known:
            raise Problem(404, f"there is no model {asked!r} here; leave `model` out, or use "
                               f"{POLICY_NAME!r} or {self._model!r}")

    def _encoded(self, encode: Any) -> list[int]:
        try:
            return encode()
        except TokenizerError as error:
            raise Problem(422, str(error)) from None
        except (UnicodeEncodeError, TypeError):
            raise Problem(422, "the text is not valid Unicode (a lone surrogate?); send valid "
                               "UTF-8") from None

    def _text(self, completion: Completion) -> str:
        # A stop string may end inside a token: then vLLM's text is cut where the tokens are not.
        return completion.text or self._tokenizer.fast.decode(completion.token_ids,
                                                              skip_special_tokens=True)


async def _with_errors(events: AsyncIterator[str]) -> AsyncIterator[str]:
    try:
        async for event in events:
            yield event
    except (WeightsNotReady, GenerationInterrupted, EngineError) as error:
        yield stream_error(503, str(error))
