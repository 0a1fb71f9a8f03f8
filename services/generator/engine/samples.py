"""What is asked of the engine, and what it gives: plain data, without vLLM.

Invariant: nothing here steers training but ``max_new_tokens``, ``temperature``, ``top_p`` and
``seed``; the rest is for people who talk to the policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vapo.messages import FinishReason, VersionSpan

Ranked = Mapping[int, float]
"""Token id to log-prob at one position: the token that stands there first, then the likeliest."""


@dataclass(frozen=True)
class Steering:
    """What else vLLM can do to the distribution and to the end; the defaults do nothing. Fields
    have the names of vLLM's ``SamplingParams``.
    """

    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: Sequence[int] = ()


@dataclass(frozen=True)
class Sampling:
    """How one response is sampled."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    steering: Steering = Steering()
    ranked: int | None = None
    """Likeliest tokens to tell at each position of the response; None: no positions at all."""
    prompt_ranked: int | None = None
    """The same for the prompt, under the model's own distribution (temperature 1)."""


@dataclass(frozen=True)
class Completion:
    """One finished response of L tokens, end of sequence included."""

    token_ids: list[int]
    log_probs: list[float]
    """[L] log-prob of each token under the distribution sampled from (temperature, top-p)."""
    version_spans: tuple[VersionSpan, ...]
    finish_reason: FinishReason
    text: str | None = None
    """Only of streamed responses and those with stop strings; decode the token ids otherwise."""
    cached_prompt_tokens: int = 0
    """Prompt tokens whose keys came from the prefix cache."""
    positions: Sequence[Ranked] = ()
    """[L] if ``Sampling.ranked`` was given."""
    prompt_positions: Sequence[Ranked] = ()
    """[P] if ``Sampling.prompt_ranked`` was given; the first is empty: nothing comes before it."""


@dataclass(frozen=True)
class Piece:
    """What a streamed response has more than at the piece before."""

    text: str
    token_ids: list[int]
    positions: Sequence[Ranked] = ()
    prompt_positions: Sequence[Ranked] = ()
    """With the first piece."""
    completion: Completion | None = None
    """With the last piece."""


def newest_version(completions: Sequence[Completion]) -> int:
    """Newest weight version any token was sampled under."""
    return max(span.version for completion in completions for span in completion.version_spans)
