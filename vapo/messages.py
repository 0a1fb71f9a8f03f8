"""Tasks and rollouts, and their wire form.

Invariants:
- token ids are the truth; text is carried along for people and never re-tokenised;
- arrays travel as raw little-endian bytes inside msgpack, with a schema version; never pickle;
- a record whose lengths disagree or whose log-probs, values or reward are not finite, or log-probs
  above 0, is refused at the door (:class:`MessageError`), before it reaches Redis.

Conventions: a response is the L generated tokens, the end-of-sequence token included. ``values[t]``
is V of the state before token t; ``values[L]`` is V after the last token and may only be used to
bootstrap a truncated response.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import msgpack
import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = 1
TokenIds = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Purpose = Literal["train", "eval"]
FinishReason = Literal["stop", "length"]
VerdictName = Literal["correct", "wrong", "no_answer", "timeout", "error"]


class MessageError(ValueError):
    """A record is malformed; the text names the field, the value and what was expected."""


@dataclass(frozen=True)
class SamplingOverrides:
    """Per-task replacements of the run's sampling settings; None keeps the run's value."""

    temperature: float | None = None
    top_p: float | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class Task:
    """A prompt with its reference answer, to be answered ``samples`` times."""

    id: str
    prompt_token_ids: TokenIds
    prompt: str
    answer: str
    verifier: str = "math"
    samples: int = 1
    sampling: SamplingOverrides = SamplingOverrides()
    purpose: Purpose = "train"
    evaluation: str | None = None
    """Id of the evaluation it belongs to, for purpose ``eval``."""
    dataset: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    created_at: float = 0.0
    """Seconds since the epoch."""

    def __post_init__(self) -> None:
        _require(bool(self.id) and len(self.id) <= 200, "task id", self.id, "1 to 200 characters")
        _require("\x00" not in self.id and "." not in self.id, "task id", self.id, "no '.' or NUL")
        _require(self.samples >= 1, "samples", self.samples, "at least 1")
        _require(self.prompt_token_ids.size >= 1, "prompt_token_ids", [], "at least one token")
        _require(self.answer.strip() != "", "answer", self.answer, "a non-empty reference answer")

    def rollout_ids(self) -> list[str]:
        """Ids of its rollouts, ``{task}.{sample}``."""
        return [f"{self.id}.{sample}" for sample in range(self.samples)]


@dataclass(frozen=True)
class VersionSpan:
    """Tokens ``start`` up to (not including) ``end`` were sampled under weights ``version``."""

    version: int
    start: int
    end: int


@dataclass(frozen=True)
class Generated:
    """What the generator adds to a rollout."""

    token_ids: TokenIds
    """[L] response tokens, end of sequence included."""
    behaviour_log_probs: Floats
    """[L] log-probs under the distribution really sampled from."""
    version_spans: tuple[VersionSpan, ...]
    finish_reason: FinishReason
    text: str
    generator: str = ""

    def __post_init__(self) -> None:
        length = self.token_ids.size
        _require(length >= 1, "token_ids", length, "at least one response token")
        _require(
            self.behaviour_log_probs.size == length,
            "behaviour_log_probs",
            self.behaviour_log_probs.size,
            f"as many as token_ids, {length}",
        )
        _require(
            bool(np.isfinite(self.behaviour_log_probs).all()),
            "behaviour_log_probs",
            "not finite",
            "finite numbers; the weights or the engine are broken",
        )
        _require(
            bool((self.behaviour_log_probs <= 0).all()),
            "behaviour_log_probs",
            float(self.behaviour_log_probs.max()),
            "at most 0",
        )
        _require(
            _covers(self.version_spans, length),
            "version_spans",
            self.version_spans,
            f"adjoining spans from 0 to {length}",
        )

    @property
    def oldest_version(self) -> int:
        """Version of the oldest weights any of its tokens was sampled under."""
        return min(span.version for span in self.version_spans)

    @property
    def newest_version(self) -> int:
        """Version of the newest weights any of its tokens was sampled under."""
        return max(span.version for span in self.version_spans)


@dataclass(frozen=True)
class Verdict:
    """What the verifier adds. ``reward`` is None when the response could not be judged fairly."""

    verdict: VerdictName
    reward: float | None
    extracted: str | None
    reason: str

    def __post_init__(self) -> None:
        _require(self.reward is None or math.isfinite(self.reward), "reward", self.reward, "a finite number, or none")

    @property
    def correct(self) -> bool:
        """Decided by the verdict, never by the sign of a shaped reward."""
        return self.verdict == "correct"


@dataclass(frozen=True)
class Values:
    """What the value service adds."""

    values: Floats
    """[L + 1] V before each token, then V after the last."""
    critic_version: int

    def __post_init__(self) -> None:
        _require(bool(np.isfinite(self.values).all()), "values", "not finite", "finite numbers")


@dataclass(frozen=True)
class Rollout:
    """One response to one task, with what each stage has added so far."""

    id: str
    task: Task
    sample: int
    state: str
    generated: Generated
    verdict: Verdict | None = None
    values: Values | None = None
    training: dict[str, Any] | None = None
    """What the trainer noted: step, advantages, staleness."""
    dropped: str | None = None
    timestamps: dict[str, float] = field(default_factory=dict)


def encode(record: Task | Generated | Verdict | Values | dict[str, Any]) -> bytes:
    """Wire form of one record (msgpack, schema version first)."""
    return msgpack.packb([SCHEMA_VERSION, _pack(record)], use_bin_type=True)


def content_digest(task: Task) -> str:
    """What tells one problem from another: the prompt as the model sees it, and the answer."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(task.prompt_token_ids.size.to_bytes(8, "little"))
    digest.update(_pack(token_array(task.prompt_token_ids)))
    digest.update(task.answer.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def decode_task(data: bytes) -> Task:
    """Inverse of :func:`encode`. Raises MessageError when malformed."""
    with _refusing(Task):
        body = _open(data)
        return Task(
            **{
                **body,
                "sampling": SamplingOverrides(**body["sampling"]),
                "prompt_token_ids": _tokens(body["prompt_token_ids"]),
            }
        )


def decode_generated(data: bytes) -> Generated:
    """Inverse of :func:`encode`. Raises MessageError when malformed."""
    with _refusing(Generated):
        body = _open(data)
        spans = tuple(VersionSpan(*span) for span in body["version_spans"])
        return Generated(
            **{
                **body,
                "version_spans": spans,
                "token_ids": _tokens(body["token_ids"]),
                "behaviour_log_probs": _floats(body["behaviour_log_probs"]),
            }
        )


def decode_verdict(data: bytes) -> Verdict:
    """Inverse of :func:`encode`. Raises MessageError when malformed."""
    with _refusing(Verdict):
        return Verdict(**_open(data))


def decode_values(data: bytes) -> Values:
    """Inverse of :func:`encode`. Raises MessageError when malformed."""
    with _refusing(Values):
        body = _open(data)
        return Values(**{**body, "values": _floats(body["values"])})


def decode_mapping(data: bytes) -> dict[str, Any]:
    """Inverse of :func:`encode` for plain mappings; arrays come back as raw bytes."""
    return _open(data)


def token_array(token_ids: Sequence[int] | npt.ArrayLike) -> TokenIds:
    """``token_ids`` as int32, the wire type."""
    return np.asarray(token_ids, dtype=np.int32)


def float_array(numbers: Sequence[float] | npt.ArrayLike) -> Floats:
    """``numbers`` as float32, the wire type."""
    return np.asarray(numbers, dtype=np.float32)


def _pack(record: Any) -> Any:
    if isinstance(record, np.ndarray):
        return record.astype(record.dtype.newbyteorder("<"), copy=False).tobytes()
    if isinstance(record, VersionSpan):
        return [record.version, record.start, record.end]
    if isinstance(record, (list, tuple)):
        return [_pack(item) for item in record]
    if isinstance(record, dict):
        return {key: _pack(value) for key, value in record.items()}
    if hasattr(record, "__dataclass_fields__"):
        return {name: _pack(getattr(record, name)) for name in record.__dataclass_fields__}
    return record


def _open(data: bytes) -> dict[str, Any]:
    try:
        version, body = msgpack.unpackb(data, raw=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MessageError(f"record is not msgpack of [schema version, body]: {error}") from None
    if version != SCHEMA_VERSION:
        raise MessageError(f"schema version {version!r}; this release reads {SCHEMA_VERSION}")
    return body


@contextmanager
def _refusing(kind: type) -> Iterator[None]:
    """Whatever is wrong with a record's fields is a MessageError."""
    try:
        yield
    except MessageError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"{kind.__name__} record has wrong fields: {error!r}") from None


def _tokens(data: bytes) -> TokenIds:
    return np.frombuffer(data, dtype="<i4")


def _floats(data: bytes) -> Floats:
    return np.frombuffer(data, dtype="<f4")


def _covers(spans: tuple[VersionSpan, ...], length: int) -> bool:
    position = 0
    for span in spans:
        if span.start != position or span.end <= span.start:
            return False
        position = span.end
    return position == length


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise MessageError(f"{name} is {value!r}; expected {expected}")
