"""One problem as a client writes it, and what is wrong with it.

Invariant: unknown fields, empty prompts and empty answers never pass; every refusal names row,
field and remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgpack
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vapo.data_files.conversation import ends_with_an_answer, plain_message
from vapo.data_files.errors import RowError
from vapo.data_files.reference_answers import answer_text
from vapo.settings.sampling_bounds import NewTokens, Samples, Temperature, TopP

_VALUE_ERROR = "Value error, "
_UNSAFE_IN_IDS = re.compile(r"[\s.\x00-\x1f\x7f]")


class Strict(BaseModel):
    """Refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ChatMessage(Strict):
    """One turn of a conversation; ``content`` may also come as a list of text parts."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, message: Any) -> Any:
        return plain_message(message)


class RowSampling(Strict):
    """Replacements of the run's sampling settings."""

    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_new_tokens: NewTokens | None = None


class Row(Strict):
    """A problem: one of prompt, messages or prompt_token_ids, and its reference answer."""

    id: str | None = Field(None, min_length=1, max_length=200)
    """Idempotency key of a prompt; in data sets and evaluations a label."""
    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    prompt_token_ids: list[Annotated[int, Field(strict=True)]] | None = None
    raw: bool = False
    """Encode ``prompt`` as it stands, without the chat template."""
    answer: str
    verifier: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    samples: Samples | None = None
    sampling: RowSampling = RowSampling()
    metadata: dict[str, Any] = Field(default_factory=dict)

    @field_validator("answer", mode="before")
    @classmethod
    def _answer_as_text(cls, answer: Any) -> Any:
        return answer_text(answer)

    @field_validator("id", mode="before")
    @classmethod
    def _number_as_text(cls, label: Any) -> Any:
        is_number = isinstance(label, int) and not isinstance(label, bool)
        return str(label) if is_number else label

    @field_validator("prompt", mode="before")
    @classmethod
    def _a_text(cls, prompt: Any) -> Any:
        if isinstance(prompt, list):
            raise ValueError("is a list, not a string; a conversation belongs into messages")
        return prompt

    @field_validator("messages", mode="before")
    @classmethod
    def _ready_for_an_answer(cls, messages: Any) -> Any:
        if ends_with_an_answer(messages):
            raise ValueError("end with the assistant's turn; a prompt ends with the user's")
        return messages

    @field_validator("answer")
    @classmethod
    def _some_answer(cls, answer: str) -> str:
        if not answer.strip():
            raise ValueError("the reference answer is empty; every problem needs one")
        return answer

    @field_validator("prompt", "messages", "prompt_token_ids")
    @classmethod
    def _some_content(cls, content: Any) -> Any:
        if content is not None and not (content.strip() if isinstance(content, str) else content):
            raise ValueError("is empty")
        return content

    @field_validator("metadata")
    @classmethod
    def _storable(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        try:
            msgpack.packb(metadata)
        except (OverflowError, ValueError, TypeError) as error:
            raise ValueError(f"cannot be stored: {error}") from None
        return metadata

    @model_validator(mode="after")
    def _one_form_of_prompt(self) -> Row:
        forms = [self.prompt, self.messages, self.prompt_token_ids]
        if sum(form is not None for form in forms) != 1:
            raise ValueError("give exactly one of prompt, messages and prompt_token_ids")
        return self


def parse_row(number: int, value: Any) -> Row:
    """Check one decoded row. Raises RowError with the first thing that is wrong."""
    if isinstance(value, RowError):  # its reader could not decode it
        raise value
    if not isinstance(value, Mapping):
        raise RowError(number, "", f"is {type(value).__name__}, not an object with prompt and answer")
    try:
        return Row.model_validate(value)
    except ValidationError as error:
        raise next(_row_errors(number, error)) from None


def parse_held_out(number: int, value: Any) -> Row:
    """A row that is only measured on. Raises RowError, also for what only training asks of a row:
    an evaluation samples all its problems alike.
    """
    row = parse_row(number, value)
    named = [("samples", row.samples is not None), ("sampling", row.sampling != RowSampling())]
    for field, given in named:
        if given:
            raise RowError(
                number,
                field,
                "all problems of an evaluation are sampled alike; leave it out, and "
                "give samples, temperature, top_p and max_new_tokens of the evaluation",
            )
    return row


def _row_errors(number: int, error: ValidationError) -> Iterator[RowError]:
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            yield RowError(number, field, _unknown_field(item["loc"]))
        yield RowError(number, field, item["msg"].removeprefix(_VALUE_ERROR))


def _unknown_field(place: tuple[int | str, ...]) -> str:
    inside: dict[int | str, type[Strict]] = {"messages": ChatMessage, "sampling": RowSampling}
    model = Row if len(place) == 1 else inside.get(place[0], Row)
    hint = "; what is your own belongs into metadata" if model is Row else ""
    return f"unknown field; known are: {', '.join(model.model_fields)}{hint}"


def check_task_id(number: int, task_id: str) -> str:
    """An id as Redis keys and URLs can carry it. Raises RowError."""
    if _UNSAFE_IN_IDS.search(task_id):
        raise RowError(
            number,
            "id",
            f"{task_id!r} holds white space, '.' or a control character; "
            "use letters, digits, '-', '_', ':' or '/', or leave it out",
        )
    return task_id
