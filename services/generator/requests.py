"""The bodies of the generator's HTTP requests, and why one is refused.

Invariant: a field we do not serve is refused with its name, never ignored, so that nobody believes
in an option that has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.generator.engine import Sampling
from vapo.settings import SamplingSettings

MAX_SAMPLES = 128
MAX_SEED = 2**63 - 1
Neutral = Annotated[float, Field(ge=0, le=0)]
"""An option accepted only at the value at which it does nothing, since clients send defaults."""

UNSUPPORTED = {
    "logprobs": "use /v1/generate, which returns the log-prob of every token",
    "top_logprobs": "use /v1/generate, which returns the log-prob of every token",
    "echo": "prepend the prompt yourself",
    "suffix": "the models here complete from left to right",
    "best_of": "use n and choose yourself",
    "logit_bias": "it would make the behaviour log-probs those of another policy",
    "response_format": "constrained decoding would make another policy of the model",
    "tools": "the policy has no tools",
    "tool_choice": "the policy has no tools",
    "functions": "the policy has no tools",
    "max_completion_tokens": "use max_tokens",
}


class Body(BaseModel):
    """Base of all requests: unknown and unsupported fields are refused by name."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _explain_unsupported(cls, body: Any) -> Any:
        asked = set(body) & set(UNSUPPORTED) if isinstance(body, Mapping) else set()
        if asked:
            name = min(asked)
            raise ValueError(f"{name} is not supported: {UNSUPPORTED[name]}")
        return body


class Sampled(Body):
    """What all requests say about sampling."""

    temperature: float | None = Field(None, ge=0, le=100)
    """0 is greedy; default: sampling.temperature."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Default: sampling.top_p."""
    n: int = Field(1, ge=1, le=MAX_SAMPLES)
    """Responses to the same prompt."""
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    """Sample k uses ``seed + k``."""


class GenerateRequest(Sampled):
    """``POST /v1/generate``: token ids in."""

    prompt_token_ids: list[int]
    max_new_tokens: int | None = Field(None, ge=1)
    """Default: sampling.max_new_tokens."""


class OpenAIRequest(Sampled):
    """What completions and chat completions share."""

    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    """Default: sampling.max_new_tokens."""
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    presence_penalty: Neutral = 0.0
    frequency_penalty: Neutral = 0.0
    user: str | None = None
    """Accepted for the caller's own bookkeeping."""

    @model_validator(mode="after")
    def _streams_are_single(self) -> OpenAIRequest:
        if self.stream and self.n > 1:
            raise ValueError("stream and n > 1 do not go together; send n requests")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class StreamOptions(Body):
    """How a stream ends."""

    include_usage: bool = False


class CompletionRequest(OpenAIRequest):
    """``POST /v1/completions``."""

    prompt: str | list[int]
    """Text, encoded as it stands, or token ids."""


class ChatMessage(Body):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str
    name: str | None = None


class ChatRequest(OpenAIRequest):
    """``POST /v1/chat/completions``."""

    messages: list[ChatMessage] = Field(min_length=1)


def sampling_of(body: Sampled, asked_tokens: int | None, defaults: SamplingSettings, room: int,
                sample: int = 0, stop: tuple[str, ...] = ()) -> Sampling:
    """How one of the body's samples is drawn.

    Args:
        room: tokens that fit after the prompt.
    """
    return Sampling(
        max_new_tokens=asked_tokens or min(defaults.max_new_tokens, room),
        temperature=defaults.temperature if body.temperature is None else body.temperature,
        top_p=defaults.top_p if body.top_p is None else body.top_p,
        seed=None if body.seed is None else (body.seed + sample) % (MAX_SEED + 1), stop=stop)


OpenAIRequest.model_rebuild()
