"""Completions and chat completions in OpenAI's form, whole or as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi.responses import StreamingResponse

from services.generator.engine.merged import merged
from services.generator.openai.openai_answers import Choice, Form, Kind, openai_answer, openai_stream, stream_error
from services.generator.openai.openai_bodies import ChatMessage, ChatRequest, CompletionRequest, OpenAIRequest, Prompt
from services.generator.request_bodies import sampling_of
from services.generator.request_handler import FAILURES, RequestHandler, problem_of
from vapo.model.served_names import listed_name, unknown_name
from vapo.service.problem_details import Problem


class OpenAIHandler:
    """See the module's text."""

    def __init__(self, handler: RequestHandler) -> None:
        self._handler, self._tokenizer = handler, handler.tokenizer

    async def completions(self, body: CompletionRequest) -> Any:
        """Answer ``/v1/completions``."""
        self._check_model(body.model)
        prompts = [self._encoded(prompt) for prompt in body.prompt]
        choices = [
            choice
            for written, prompt in zip(body.prompt, prompts, strict=True)
            for choice in self._choices(body, prompt, written)
        ]
        return await self._answer("completion", body, sum(map(len, prompts)), choices)

    async def chat(self, body: ChatRequest) -> Any:
        """Answer ``/v1/chat/completions``."""
        self._check_model(body.model)
        messages = list(map(turn_of, body.messages))
        prompt = self._handler.encoded(lambda: self._tokenizer.encode_messages(messages))
        return await self._answer("chat", body, len(prompt), self._choices(body, prompt))

    async def _answer(self, kind: Kind, body: OpenAIRequest, prompt_tokens: int, choices: list[Choice]) -> Any:
        model = listed_name(self._handler.settings)
        form = Form(kind, model, self._tokenizer.decode, body.ranked, body.return_token_ids)
        if body.stream:
            self._handler.check_open()
            usage = bool(body.stream_options and body.stream_options.include_usage)
            pieces = merged([self._handler.engine.stream(choice.prompt, choice.sampling) for choice in choices])
            return await begun(openai_stream(form, prompt_tokens, choices, usage, pieces))
        completions = await self._handler.sampled([(choice.prompt, choice.sampling) for choice in choices])
        texts = [self._handler.text(completion) for completion in completions]
        return openai_answer(form, prompt_tokens, choices, completions, texts)

    def _choices(self, body: OpenAIRequest, prompt: list[int], written: Prompt = "") -> list[Choice]:
        handler, echo_only = self._handler, body.asked_tokens == 0
        asked = 1 if echo_only else body.asked_tokens
        room = handler.room(prompt, asked)
        echo = self._echo(written, prompt) if body.echoes else None
        ranked = None if body.ranked is None else min(body.ranked, handler.engine.vocabulary_size)
        samplings = [sampling_of(body, asked, handler.settings.sampling, room, sample) for sample in range(body.n)]
        return [
            Choice(
                prompt,
                replace(
                    sampling,
                    stop=tuple(body.stop),
                    steering=body.steering,
                    ranked=ranked,
                    prompt_ranked=ranked if body.echoes else None,
                ),
                echo,
                echo_only,
            )
            for sampling in samplings
        ]

    def _encoded(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, list):
            return prompt
        return self._handler.encoded(lambda: self._tokenizer.encode_prompt(prompt, raw=True))

    def _echo(self, prompt: Prompt, token_ids: list[int]) -> str:
        if isinstance(prompt, str):
            return prompt
        return self._tokenizer.fast.decode(token_ids, skip_special_tokens=True)

    def _check_model(self, asked: str | None) -> None:
        unknown = None if asked is None else unknown_name(self._handler.settings, asked)
        if unknown:
            raise Problem(404, unknown, param="model", code="model_not_found")


def turn_of(message: ChatMessage) -> dict[str, Any]:
    """The message as a chat template reads it. Few templates know the role ``developer``, OpenAI's
    newer name of ``system``; most leave out, without a word, what they do not know.
    """
    turn = message.model_dump(include={"role", "content", "name"}, exclude_none=True)
    return {**turn, "role": "system"} if message.role == "developer" else turn


async def begun(events: AsyncIterator[str]) -> StreamingResponse:
    """The stream once its first event is there: what fails before has a status of its own."""
    try:
        first = await anext(events)
    except FAILURES as error:
        raise problem_of(error) from None
    return StreamingResponse(_with_errors(first, events), media_type="text/event-stream")


async def _with_errors(first: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    try:
        async for event in events:
            yield event
    except FAILURES as error:
        problem = problem_of(error)
        status = problem.status if isinstance(problem, Problem) else 500
        yield stream_error(status, str(problem))
