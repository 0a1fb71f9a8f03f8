"""The bodies of OpenAI's completions and chat completions, as this policy can serve them.

Invariant: ``docs/rest.md`` lists every parameter with what is taken and what is refused; a test
sends each row of that table with the official client.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from services.generator.engine.samples import Steering
from services.generator.openai import parameters_without_effect as neutral
from services.generator.openai.message_text import message_text
from services.generator.request_bodies import Body, Sampled
from vapo.settings.sampling_bounds import MAX_SEED, MAX_STOPS, NewTokens, StopStrings

MAX_RANKED = 20
"""vLLM's limit of log-probs at one position."""
MAX_PROMPTS = 1024
MAX_CHOICES = 1024
"""Responses of one request, all prompts together."""
Prompt = str | list[int]


def _as_prompts(prompt: Any) -> Any:
    """One text, one list of token ids, or a list of either, as a list of prompts."""
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list):
        raise ValueError("must be a text, a list of token ids, or a list of either")
    if not prompt:
        raise ValueError("is empty; give a text or at least one token id")
    prompts = [prompt] if all(map(_is_token, prompt)) else prompt
    for one in prompts:
        if not isinstance(one, str) and not (isinstance(one, list) and all(map(_is_token, one))):
            raise ValueError("must be a text, a list of token ids, or a list of either")
    return prompts


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


Prompts = Annotated[
    list[Prompt],
    BeforeValidator(_as_prompts),
    Field(max_length=MAX_PROMPTS),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]}),
]
Stops = Annotated[
    StopStrings,
    BeforeValidator(lambda stop: [stop] if isinstance(stop, str) else stop),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": MAX_STOPS}]}
    ),
]
Content = Annotated[
    str,
    BeforeValidator(message_text),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}),
]
Bias = Annotated[float, Field(ge=-100, le=100)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class StreamOptions(Body):
    """How a stream ends."""

    include_usage: bool = False
    include_obfuscation: neutral.Obfuscation = None
    continuous_usage_stats: neutral.UsageAtTheEnd = None


class OpenAIRequest(Sampled):
    """What completions and chat completions share."""

    model: str | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """Default: sampling.max_new_tokens. 0 only where a completion echoes its prompt."""
    stop: Stops = Field(default_factory=list)
    stream: bool = False
    stream_options: StreamOptions | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: dict[int, Bias] = Field(default_factory=dict)
    """By token id."""
    top_k: int = Field(0, ge=-1, le=MAX_SEED)
    """0 or -1: all tokens."""
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, ge=0.01, le=100)
    min_tokens: int = Field(0, ge=0)
    ignore_eos: bool = False
    stop_token_ids: list[int] = Field(default_factory=list)
    return_token_ids: bool = False
    """Tell the token ids of prompt and response too, as vLLM's server does."""
    user: neutral.Ignored = None
    metadata: neutral.Ignored = None
    safety_identifier: neutral.Ignored = None
    service_tier: neutral.ServiceTier = None
    skip_special_tokens: neutral.SkipSpecialTokens = None
    include_stop_str_in_output: neutral.StopStays = None
    use_beam_search: neutral.BeamSearch = None
    length_penalty: neutral.LengthPenalty = None
    bad_words: neutral.BadWords = None
    spaces_between_special_tokens: neutral.SpacesBetween = None
    add_special_tokens: neutral.AddedSpecialTokens = None
    return_tokens_as_token_ids: neutral.TokensAsIds = None
    priority: neutral.Priority = None
    request_id: neutral.Ignored = None

    @property
    def asked_tokens(self) -> int | None:
        """Most tokens of a response, if the request says."""
        return self.max_tokens

    @property
    def ranked(self) -> int | None:
        """Likeliest tokens to tell at each position; None: no log-probs."""
        return None

    @property
    def echoes(self) -> bool:
        """Whether the answer begins with the prompt."""
        return False

    @property
    def steering(self) -> Steering:
        """What else is done to the distribution and to the end."""
        return Steering(
            top_k=max(self.top_k, 0),
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
            logit_bias=self.logit_bias,
            min_tokens=self.min_tokens,
            ignore_eos=self.ignore_eos,
            stop_token_ids=self.stop_token_ids,
        )

    @model_validator(mode="after")
    def _some_token_is_asked(self) -> OpenAIRequest:
        if self.asked_tokens == 0 and not self.echoes:
            raise ValueError(
                "max_tokens is 0: there would be nothing to answer; ask for at least "
                "1, or echo the prompt of a completion"
            )
        return self


class CompletionRequest(OpenAIRequest):
    """``POST /v1/completions``."""

    prompt: Prompts
    """Text, encoded as it stands, token ids, or a list of either; each is answered ``n`` times."""
    logprobs: Annotated[int, Field(ge=0, le=MAX_RANKED)] | None = None
    """Likeliest tokens to tell at each position, beside the token itself."""
    echo: bool = False
    """Begin with the prompt; with ``logprobs`` its log-probs too, at temperature 1."""
    best_of: int | None = None
    suffix: neutral.Suffix = None

    @field_validator("logprobs", mode="before")
    @classmethod
    def _false_is_none(cls, logprobs: Any) -> Any:
        return None if logprobs is False else logprobs

    @model_validator(mode="after")
    def _no_more_than_fits(self) -> CompletionRequest:
        if self.best_of not in (None, self.n):
            raise ValueError(
                f"best_of={self.best_of} is not supported: use n and choose yourself; leave it out or send n, {self.n}"
            )
        if len(self.prompt) * self.n > MAX_CHOICES:
            raise ValueError(
                f"{len(self.prompt)} prompts times n={self.n} are more than "
                f"{MAX_CHOICES} responses; send several requests"
            )
        return self

    @property
    def ranked(self) -> int | None:
        """See :class:`OpenAIRequest`."""
        return self.logprobs

    @property
    def echoes(self) -> bool:
        """See :class:`OpenAIRequest`."""
        return self.echo


class ChatMessage(Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: str | None = None
    type: neutral.MessageType = None
    id: neutral.Ignored = None
    cache_control: neutral.Ignored = None
    tool_calls: neutral.Tools = None
    function_call: neutral.Tools = None
    audio: neutral.Audio = None
    refusal: neutral.Audio = None
    annotations: neutral.Ignored = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, body: Any) -> Any:
        """As everywhere, but for the content, so that null is told as what it is."""
        if not isinstance(body, Mapping):
            return body
        return {name: value for name, value in body.items() if value is not None or name == "content"}


class ChatRequest(OpenAIRequest):
    """``POST /v1/chat/completions``."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: NewTokens | None = None
    """OpenAI's newer name of ``max_tokens``; goes before it."""
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=MAX_RANKED)
    tools: neutral.Tools = None
    tool_choice: neutral.ToolChoice = None
    parallel_tool_calls: neutral.Ignored = None
    functions: neutral.Tools = None
    function_call: neutral.ToolChoice = None
    response_format: neutral.ResponseFormat = None
    modalities: neutral.Modalities = None
    audio: neutral.Audio = None
    store: neutral.Store = None
    prediction: neutral.Prediction = None
    web_search_options: neutral.WebSearch = None
    moderation: neutral.Moderation = None
    reasoning_effort: neutral.ReasoningEffort = None
    verbosity: neutral.Verbosity = None
    prompt_cache_key: neutral.Ignored = None
    prompt_cache_options: neutral.Ignored = None
    prompt_cache_retention: neutral.Ignored = None
    chat_template_kwargs: neutral.KwArgs = None
    add_generation_prompt: neutral.TurnBegins = None
    continue_final_message: neutral.TurnGoesOn = None
    echo: neutral.ChatEcho = None

    @model_validator(mode="after")
    def _alternatives_need_log_probs(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise ValueError(f"top_logprobs={self.top_logprobs} needs logprobs=true")
        return self

    @property
    def asked_tokens(self) -> int | None:
        """See :class:`OpenAIRequest`."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def ranked(self) -> int | None:
        """See :class:`OpenAIRequest`."""
        return self.top_logprobs if self.logprobs else None
