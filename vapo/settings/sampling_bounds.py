"""The sampling values that can be served: the one place that says them.

Invariant: settings, rows, evaluations and HTTP requests all take these types, so what the engine
would refuse is refused where it is written, and never reaches a queue.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

GREATEST_TEMPERATURE = 2.0
"""vLLM refuses more."""
LEAST_TRAINING_TEMPERATURE = 0.01
"""vLLM raises what lies between 0 and this; the trainer's log-probs would then be of another
distribution than the one sampled from."""
LARGEST_SAMPLES = 1024
"""Responses to one prompt: a script of the ledger names all of them at once."""
MAX_SEED = 2**63 - 1
"""vLLM's seeds of requests are signed 64-bit integers."""
MAX_RUN_SEED = 2**32 - 1
"""NumPy's limit, in vLLM and in the trainer."""
MAX_STOPS = 16


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("a stop string is empty; leave it out")
    return text


def training_refusal(temperature: float | None) -> str | None:
    """Why a training task cannot be sampled at ``temperature``, or None; None keeps the run's."""
    if temperature is None or temperature >= LEAST_TRAINING_TEMPERATURE:
        return None
    return (
        "training needs a temperature greater than 0, from "
        f"{LEAST_TRAINING_TEMPERATURE} to {GREATEST_TEMPERATURE:g}, got "
        f"{temperature:g}; only evaluations and chat may be greedy (0)"
    )


def _greedy_is_no_training(temperature: float) -> float:
    if refusal := training_refusal(temperature):
        raise ValueError(refusal)
    return temperature


Temperature = Annotated[float, Field(ge=0, le=GREATEST_TEMPERATURE, allow_inf_nan=False)]
"""0 is greedy."""
TrainingTemperature = Annotated[float, Field(gt=0, le=GREATEST_TEMPERATURE), AfterValidator(_greedy_is_no_training)]
TopP = Annotated[float, Field(gt=0, le=1)]
NewTokens = Annotated[int, Field(ge=1)]
"""Bounded above by the context, where prompt and context are known."""
Samples = Annotated[int, Field(ge=1, le=LARGEST_SAMPLES)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
RunSeed = Annotated[int, Field(ge=0, le=MAX_RUN_SEED)]
StopString = Annotated[str, AfterValidator(_not_empty)]
StopStrings = Annotated[list[StopString], Field(max_length=MAX_STOPS)]


def greedy_refusal(temperature: float, samples: int) -> str | None:
    """Why several samples at ``temperature`` would be a waste, or None."""
    if temperature > 0 or samples == 1:
        return None
    return (
        f"temperature 0 is greedy, so all {samples} samples of a problem would be the same; "
        "ask for 1 sample, or for a temperature above 0"
    )
