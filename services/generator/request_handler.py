"""Between the HTTP forms and the engine: checks, waits, and says why something cannot be served.

Invariant: every response that leaves has finite log-probs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from services.generator.engine.samples import Completion, Sampling, newest_version
from services.generator.engine.vllm_engine import (
    EngineError,
    GenerationInterrupted,
    RequestFailed,
    RequestRefused,
    WeightsNotReady,
)
from services.generator.part import GeneratorPart
from services.generator.prompts import PromptError, check_prompt
from services.generator.request_bodies import GenerateRequest, sampling_of
from services.generator.state import State
from vapo.model.served_names import listed_name
from vapo.model.text.tokenizer import TokenizerError
from vapo.service.problem_details import Problem

RETRY_LATER = {"Retry-After": "1"}
Asked = tuple[Sequence[int], Sampling]
"""A prompt, and how one response to it is sampled."""
FAILURES = (WeightsNotReady, GenerationInterrupted, EngineError, RequestRefused, RequestFailed)


class RequestHandler:
    """What all calls that generate share, and ``/v1/generate`` itself."""

    def __init__(self, part: GeneratorPart) -> None:
        self.engine, self.tokenizer, self.settings = part.engine, part.tokenizer, part.settings
        self._state = part.state

    async def generate(self, body: GenerateRequest) -> dict[str, Any]:
        """Answer ``/v1/generate``; ``weight_version`` is the newest that any token was sampled under."""
        prompt = body.prompt_token_ids
        room = self.room(prompt, body.max_new_tokens)
        completions = await self.sampled(
            [
                (prompt, sampling_of(body, body.max_new_tokens, self.settings.sampling, room, sample))
                for sample in range(body.n)
            ]
        )
        responses = [
            {
                "token_ids": completion.token_ids,
                "log_probs": completion.log_probs,
                "version_spans": [asdict(span) for span in completion.version_spans],
                "finish_reason": completion.finish_reason,
                "text": self.text(completion),
                "cached_prompt_tokens": completion.cached_prompt_tokens,
            }
            for completion in completions
        ]
        return {
            "model": listed_name(self.settings),
            "weight_version": newest_version(completions),
            "responses": responses,
        }

    def room(self, prompt: Sequence[int], asked: int | None) -> int:
        """Tokens that fit after ``prompt``. Raises Problem 422: not as many as are asked for."""
        context = self.engine.context_tokens
        try:
            check_prompt(prompt, context, self.tokenizer.vocabulary_size)
        except PromptError as error:
            raise Problem(422, str(error)) from None
        room = context - len(prompt)
        if asked is not None and asked > room:
            raise Problem(
                422,
                f"{asked} new tokens do not fit: the prompt has {len(prompt)}, the "
                f"model's context {context} (model.max_context_tokens); ask for at "
                f"most {room}",
            )
        return room

    async def sampled(self, asked: Sequence[Asked]) -> list[Completion]:
        """All responses, in order. Raises Problem."""
        self.check_open()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.engine.generate(*one)) for one in asked]
        except ExceptionGroup as errors:
            raise problem_of(errors.exceptions[0]) from None
        completions = [task.result() for task in tasks]
        if not all(math.isfinite(value) for one in completions for value in one.log_probs):
            raise Problem(
                500,
                "log-probs of this response are not finite; the weights of version "
                f"{newest_version(completions)} are broken for this prompt",
            )
        return completions

    def check_open(self) -> None:
        """Raise Problem 503 or 429 unless requests are taken now."""
        state = self._state
        if state.state not in (State.READY, State.LOADING):
            raise Problem(503, f"{state.state}: {state.reason}", RETRY_LATER)
        limit = 2 * self.settings.generator.max_concurrent_sequences
        if self.engine.in_flight >= limit:
            raise Problem(429, f"{limit} requests are in flight already; retry later or add generators", RETRY_LATER)

    def encoded(self, encode: Callable[[], list[int]]) -> list[int]:
        """What ``encode`` returns. Raises Problem 422: it is no text, or no prompt."""
        try:
            return encode()
        except TokenizerError as error:
            raise Problem(422, str(error)) from None
        except (UnicodeEncodeError, TypeError):
            raise Problem(422, "the text is not valid Unicode (a lone surrogate?); send valid UTF-8") from None

    def text(self, completion: Completion) -> str:
        """Text of a response."""
        # A stop string may end inside a token: then vLLM's text is cut where the tokens are not.
        if completion.text is not None:
            return completion.text
        return self.tokenizer.fast.decode(completion.token_ids, skip_special_tokens=True)


def problem_of(error: BaseException) -> BaseException:
    """What a client is told of an engine's failure; any other error as it is."""
    if isinstance(error, RequestRefused):
        return Problem(422, f"the engine refuses the request: {error}")
    if isinstance(error, RequestFailed):
        return Problem(500, f"the engine failed at this request: {error}")
    if isinstance(error, FAILURES):
        return Problem(503, str(error), RETRY_LATER)
    return error
