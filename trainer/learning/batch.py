"""Rollouts as the trainer sees them.

Invariants:
- everything per token is ragged and flat: the response tokens of row 0, then of row 1, and so on;
- a row is validated when it is made, so the numerics behind it need no further checks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vapo.messages import VersionSpan
from vapo.model.packing import TokenSequence


class UntrainableError(ValueError):
    """A rollout cannot be trained on; the text names it, the field and the value."""


@dataclass(frozen=True)
class TrainingRow:
    """One response with all that an update needs.

    Raises:
        UntrainableError: an array is empty, of the wrong length or not finite.
    """

    rollout_id: str
    task_id: str
    prompt_token_ids: npt.NDArray[np.int32]
    """[P], P >= 1."""
    response_token_ids: npt.NDArray[np.int32]
    """[L], L >= 1, end of sequence included."""
    behaviour_log_probs: npt.NDArray[np.float32]
    """[L] log-probs under the distribution really sampled from."""
    version_spans: tuple[VersionSpan, ...]
    """Weight version of every response token."""
    reward: float
    correct: bool
    """From the verdict, never from the reward's sign."""
    truncated: bool
    """Cut at the length limit: no end of sequence was sampled."""
    values: npt.NDArray[np.float32] | None = None
    """[L + 1] as scored by critic ``critic_version``; None: not scored."""
    critic_version: int | None = None
    temperature: float = 1.0
    """Sampling temperature; log-probs are of the tempered distribution."""

    def __post_init__(self) -> None:
        length = self.response_token_ids.size
        self._require(self.prompt_token_ids.size >= 1, "prompt_token_ids", "empty")
        self._require(length >= 1, "response_token_ids", "empty")
        self._require(
            self.behaviour_log_probs.size == length,
            "behaviour_log_probs",
            f"{self.behaviour_log_probs.size} for {length} tokens",
        )
        self._require(bool(np.isfinite(self.behaviour_log_probs).all()), "behaviour_log_probs", "not finite")
        self._require(
            bool((self.behaviour_log_probs <= 0).all()), "behaviour_log_probs", "above 0, where no log-probability is"
        )
        self._require(bool(np.isfinite(self.reward)), "reward", repr(self.reward))
        self._require(self.temperature > 0, "temperature", repr(self.temperature))
        if self.values is not None:
            self._require(
                self.values.size == length + 1,
                "values",
                f"{self.values.size} for {length} tokens; expected one more than tokens",
            )
            self._require(bool(np.isfinite(self.values).all()), "values", "not finite")
            self._require(self.critic_version is not None, "critic_version", "missing")

    def _require(self, holds: bool, field: str, value: str) -> None:
        if not holds:
            raise UntrainableError(f"rollout {self.rollout_id}: {field} is {value}; drop the rollout")

    @property
    def sequence(self) -> TokenSequence:
        """Prompt and response for packing."""
        return TokenSequence(self.prompt_token_ids, self.response_token_ids)

    @property
    def oldest_version(self) -> int:
        """Version of the oldest weights any of its tokens was sampled under."""
        return min(span.version for span in self.version_spans)

    def token_versions(self) -> npt.NDArray[np.int64]:
        """[L] weight version of each token."""
        versions = np.empty(self.response_token_ids.size, np.int64)
        for span in self.version_spans:
            versions[span.start : span.end] = span.version
        return versions


class RolloutBatch:
    """The rows of one rollout batch, identical on every rank, with their flat arrays."""

    def __init__(self, rows: Sequence[TrainingRow], device: torch.device | str = "cpu") -> None:
        """Raises UntrainableError when ``rows`` is empty."""
        if not rows:
            raise UntrainableError("a batch needs at least one rollout")
        self.rows = tuple(rows)
        self.device = torch.device(device)
        self.sequences = [row.sequence for row in self.rows]
        self._response_lengths = np.array([row.response_token_ids.size for row in rows], np.int64)
        self._starts = np.cumsum(self._response_lengths) - self._response_lengths

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def response_tokens(self) -> int:
        """N, response tokens of all rows."""
        return int(self._response_lengths.sum())

    @cached_property
    def lengths(self) -> Tensor:
        """int64[B] response tokens of each row."""
        return torch.from_numpy(self._response_lengths).to(self.device)

    @cached_property
    def behaviour_log_probs(self) -> Tensor:
        """float32[N]."""
        return self._flat([row.behaviour_log_probs for row in self.rows], np.float32)

    @cached_property
    def token_versions(self) -> Tensor:
        """int64[N] weight version of each token."""
        return self._flat([row.token_versions() for row in self.rows], np.int64)

    @cached_property
    def rewards(self) -> Tensor:
        """float32[B]."""
        return self._per_row([row.reward for row in self.rows], torch.float32)

    @cached_property
    def correct(self) -> Tensor:
        """bool[B]."""
        return self._per_row([row.correct for row in self.rows], torch.bool)

    @cached_property
    def truncated(self) -> Tensor:
        """bool[B]."""
        return self._per_row([row.truncated for row in self.rows], torch.bool)

    @cached_property
    def groups(self) -> Tensor:
        """int64[B] number of each row's task."""
        numbers: dict[str, int] = {}
        ids = [numbers.setdefault(row.task_id, len(numbers)) for row in self.rows]
        return self._per_row(ids, torch.int64)

    def tokens_of(self, rows: Iterable[int]) -> Tensor:
        """Where the response tokens of ``rows`` lie in the flat arrays, row after row, int64[n]."""
        ends = self._starts + self._response_lengths
        return self._place(np.concatenate([np.arange(self._starts[row], ends[row]) for row in rows]))

    def mini_batches(self, size: int, epochs: int, random: np.random.Generator) -> list[list[int]]:
        """Rows of every optimiser step: each epoch a new shuffle, cut into parts of equal size.

        Args:
            size: most rows of a part.
            epochs: passes over the batch.
            random: must be in the same state on every rank.
        """
        parts = math.ceil(len(self) / size)
        return [part.tolist() for _ in range(epochs) for part in np.array_split(random.permutation(len(self)), parts)]

    def _place(self, array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _flat(self, parts: Sequence[npt.NDArray[np.generic]], dtype: type) -> Tensor:
        return self._place(np.concatenate(parts).astype(dtype))

    def _per_row(self, numbers: Sequence[float], dtype: torch.dtype) -> Tensor:
        return torch.tensor(numbers, dtype=dtype, device=self.device)
