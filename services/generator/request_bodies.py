"""The generator's own token-level request, and what all requests share.

Invariant: a field we do not serve is refused with its name, never ignored, so that nobody believes
in an option that has no effect. ``null`` means "left out", as clients send it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.generator.engine.samples import Sampling
from vapo.settings import SamplingSettings
from vapo.settings.sampling_bounds import MAX_SEED, NewTokens, Seed, Temperature, TopP

MAX_SAMPLES = 128


class Body(BaseModel):
    """Base of all requests: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, body: Any) -> Any:
        if not isinstance(body, Mapping):
            return body
        return {name: value for name, value in body.items() if value is not None}


class Sampled(Body):
    """What all requests say about sampling."""

    temperature: Temperature | None = None
    """0 is greedy; default: sampling.temperature."""
    top_p: TopP | None = None
    """Default: sampling.top_p."""
    n: int = Field(1, ge=1, le=MAX_SAMPLES)
    """Responses to the same prompt."""
    seed: Seed | None = None
    """Sample k uses ``seed + k``."""


class GenerateRequest(Sampled):
    """``POST /v1/generate``: token ids in."""

    prompt_token_ids: list[int]
    max_new_tokens: NewTokens | None = None
    """Default: sampling.max_new_tokens."""


def sampling_of(
    body: Sampled, asked_tokens: int | None, defaults: SamplingSettings, room: int, sample: int = 0
) -> Sampling:
    """How one of the body's samples is drawn.

    Args:
        room: tokens that fit after the prompt.
    """
    return Sampling(
        max_new_tokens=asked_tokens or min(defaults.max_new_tokens, room),
        temperature=defaults.temperature if body.temperature is None else body.temperature,
        top_p=defaults.top_p if body.top_p is None else body.top_p,
        seed=None if body.seed is None else (body.seed + sample) % (MAX_SEED + 1),
    )
