"""From a checked row to a task: tokenised, and short enough for the model.

Invariant: a task that leaves here fits: prompt tokens plus response tokens are at most the model's
context, and every token id is in its vocabulary.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

from services.gateway.rows.row import Row, RowSampling, check_task_id
from services.gateway.rows.verifier_names import VerifierNames
from vapo.data_files.errors import RowError
from vapo.messages import MessageError, Purpose, SamplingOverrides, Task, token_array
from vapo.model.text.tokenizer import PromptTokenizer, TokenizerError
from vapo.settings import Settings
from vapo.settings.sampling_bounds import training_refusal


@dataclass(frozen=True)
class TaskOrigin:
    """What a task is part of."""

    purpose: Purpose = "train"
    evaluation: str | None = None
    dataset: str | None = None
    samples: int | None = None
    """Responses to make, instead of the run's or the row's."""
    sampling: RowSampling | None = None
    """Sampling of an evaluation, instead of the row's."""


class TaskBuilder:
    """Builds tasks for one model and one run's sampling settings."""

    def __init__(self, settings: Settings, tokenizer: PromptTokenizer, verifiers: VerifierNames) -> None:
        self._sampling = settings.sampling
        self._verifier = settings.verifier.default
        self._tokenizer, self._verifiers = tokenizer, verifiers
        self._context = settings.model.max_context_tokens

    def build(self, number: int, row: Row, task_id: str | None = None, origin: TaskOrigin = TaskOrigin()) -> Task:
        """The task of ``row``. Raises RowError naming what does not fit."""
        if origin.dataset is None:  # the rows of a data set were checked when it came
            self._check_verifier(number, row)
        token_ids = self._encode(number, row)
        sampling = self._overrides(row, origin)
        self._check_temperature(number, sampling.temperature, origin.purpose)
        self._check_length(number, len(token_ids), sampling.max_new_tokens)
        try:
            return Task(
                id=check_task_id(number, task_id or row.id or uuid.uuid4().hex),
                prompt_token_ids=token_array(token_ids),
                prompt=self._shown(row, token_ids),
                answer=row.answer,
                verifier=row.verifier or self._verifier,
                samples=origin.samples or row.samples or self._sampling.samples_per_prompt,
                sampling=sampling,
                purpose=origin.purpose,
                evaluation=origin.evaluation,
                dataset=origin.dataset,
                metadata=_metadata(row, task_id),
                created_at=time.time(),
            )
        except MessageError as error:
            raise RowError(number, "", str(error)) from None

    def check(self, number: int, row: Row) -> None:
        """Refuse a row that could not become a task. Raises RowError."""
        self.build(number, row, task_id="check")

    def rendered(self, task: Task) -> str:
        """The prompt as the model sees it, with its special tokens."""
        return self._tokenizer.decode(task.prompt_token_ids.tolist())

    @property
    def room(self) -> int:
        """Longest prompt, in tokens, that fits under the run's sampling settings."""
        return self._context - self._sampling.max_new_tokens

    def _check_verifier(self, number: int, row: Row) -> None:
        refusal = self._verifiers.refusal(row.verifier) if row.verifier else None
        if refusal:
            raise RowError(number, "verifier", refusal)

    def _encode(self, number: int, row: Row) -> list[int]:
        if row.prompt_token_ids is not None:
            return self._known_tokens(number, row.prompt_token_ids)
        try:
            if row.messages is not None:
                return self._tokenizer.encode_messages([dict(turn) for turn in row.messages])
            return self._tokenizer.encode_prompt(row.prompt or "", row.raw)
        except TokenizerError as error:
            raise RowError(number, "messages" if row.messages else "prompt", str(error)) from None

    def _known_tokens(self, number: int, token_ids: list[int]) -> list[int]:
        size = self._tokenizer.vocabulary_size
        for token_id in token_ids:
            if not 0 <= token_id < size:
                raise RowError(
                    number, "prompt_token_ids", f"{token_id} is outside the model's vocabulary, 0 to {size - 1}"
                )
        return token_ids

    @staticmethod
    def _check_temperature(number: int, temperature: float | None, purpose: Purpose) -> None:
        refusal = training_refusal(temperature) if purpose == "train" else None
        if refusal:
            raise RowError(number, "sampling.temperature", refusal)

    def _check_length(self, number: int, prompt_tokens: int, max_new_tokens: int | None) -> None:
        new_tokens = max_new_tokens or self._sampling.max_new_tokens
        room = self._context - new_tokens
        if room < 1:
            raise RowError(
                number,
                "prompt",
                f"does not fit: max_new_tokens={new_tokens} leaves no room in a context of "
                f"{self._context} (model.max_context_tokens); ask for fewer",
            )
        if prompt_tokens > room:
            raise RowError(
                number,
                "prompt",
                f"has {prompt_tokens} tokens; at most {room} fit, with "
                f"max_new_tokens={new_tokens} in a context of "
                f"{self._context}",
                too_long=True,
            )

    def _shown(self, row: Row, token_ids: list[int]) -> str:
        if row.prompt is not None:
            return row.prompt
        if row.messages is not None:
            return "\n\n".join(f"{turn.role}: {turn.content}" for turn in row.messages)
        return self._tokenizer.decode(token_ids)

    @staticmethod
    def _overrides(row: Row, origin: TaskOrigin) -> SamplingOverrides:
        own, imposed = row.sampling, origin.sampling or RowSampling()
        return SamplingOverrides(
            **{name: _first(getattr(imposed, name), getattr(own, name)) for name in RowSampling.model_fields}
        )


def _first(imposed: Any, own: Any) -> Any:
    return own if imposed is None else imposed


def _metadata(row: Row, task_id: str | None) -> dict[str, Any]:
    labelled = task_id is not None and row.id is not None
    return {"id": row.id, **row.metadata} if labelled else dict(row.metadata)
