"""What the engine cannot sample with is refused by every model that reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.gateway.routes.evaluations import EvaluationRequest
from services.gateway.rows.row import RowError, parse_row
from services.generator.openai.openai_bodies import ChatRequest, CompletionRequest
from services.generator.request_bodies import GenerateRequest
from vapo.settings import SettingsError, load_settings
from vapo.settings.sampling_bounds import GREATEST_TEMPERATURE, LEAST_TRAINING_TEMPERATURE

Read = Callable[[dict[str, Any]], Any]
REFUSALS = (ValidationError, RowError, SettingsError)
CHAT = {"messages": [{"role": "user", "content": "?"}]}


def row(fields: dict[str, Any]) -> Any:
    """A row with its own sampling."""
    return parse_row(0, {"prompt": "1+1=?", "answer": "2", "sampling": fields})


def setting(section: str) -> Read:
    """A run's setting."""

    def read(fields: dict[str, Any]) -> Any:
        once = ["evaluation.samples=1"]
        words = [f"{section}.{name}={value!r}" for name, value in fields.items()]
        return load_settings(assignments=once + words, environment={})

    return read


READERS: dict[str, Read] = {
    "setting of training": setting("sampling"),
    "setting of evaluations": setting("evaluation"),
    "row": row,
    "evaluation": lambda fields: EvaluationRequest.model_validate({"dataset": "d", **fields}),
    "generate": lambda fields: GenerateRequest.model_validate({"prompt_token_ids": [1], **fields}),
    "completions": lambda fields: CompletionRequest.model_validate({"prompt": "?", **fields}),
    "chat": lambda fields: ChatRequest.model_validate({**CHAT, **fields}),
}


@pytest.mark.parametrize("reader", READERS)
@given(
    temperature=st.one_of(
        st.floats(min_value=GREATEST_TEMPERATURE, exclude_min=True), st.floats(max_value=-1e-9), st.just(float("nan"))
    )
)
def test_a_temperature_the_engine_refuses(reader: str, temperature: float) -> None:
    with pytest.raises(REFUSALS):
        READERS[reader]({"temperature": temperature})


@pytest.mark.parametrize("reader", READERS)
@given(temperature=st.floats(LEAST_TRAINING_TEMPERATURE, GREATEST_TEMPERATURE))
def test_a_temperature_it_takes(reader: str, temperature: float) -> None:
    READERS[reader]({"temperature": temperature})


@pytest.mark.parametrize("reader", READERS)
@given(top_p=st.one_of(st.floats(max_value=0), st.floats(min_value=1, exclude_min=True)))
def test_a_nucleus_it_refuses(reader: str, top_p: float) -> None:
    with pytest.raises(REFUSALS):
        READERS[reader]({"top_p": top_p})


@pytest.mark.parametrize("temperature", [0, 0.001])
def test_training_is_never_greedy_and_evaluations_may_be(temperature: float) -> None:
    with pytest.raises(SettingsError, match="greater than 0"):
        READERS["setting of training"]({"temperature": temperature})
    for reader in set(READERS) - {"setting of training"}:
        READERS[reader]({"temperature": temperature})


def test_a_greedy_evaluation_has_one_sample() -> None:
    with pytest.raises(SettingsError, match=r"temperature 0 is greedy.*evaluation\.samples=1"):
        load_settings(assignments=["evaluation.temperature=0"], environment={})


@pytest.mark.parametrize(
    "assignment",
    [
        "sampling.samples_per_prompt=1025",
        "evaluation.samples=1025",
        "run.seed=-1",
        f"run.seed={2**32}",
        "sampling.max_new_tokens=0",
    ],
)
def test_other_settings_that_no_part_could_work_with(assignment: str) -> None:
    with pytest.raises(SettingsError, match=assignment.partition("=")[0]):
        load_settings(assignments=[assignment], environment={})
