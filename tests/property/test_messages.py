"""Records survive the wire bit for bit, and malformed ones are refused at the door."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapo.messages import (
    Generated,
    MessageError,
    SamplingOverrides,
    Task,
    Values,
    Verdict,
    VersionSpan,
    decode_generated,
    decode_mapping,
    decode_task,
    decode_values,
    decode_verdict,
    encode,
    float_array,
    token_array,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = TEXT.filter(lambda text: 0 < len(text) <= 200 and "." not in text and "\x00" not in text)
TOKENS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=30)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    return Task(
        id=draw(IDS),
        prompt_token_ids=token_array(draw(TOKENS)),
        prompt=draw(TEXT),
        answer=draw(TEXT.filter(str.strip)),
        verifier=draw(TEXT),
        samples=draw(st.integers(1, 99)),
        sampling=SamplingOverrides(
            draw(st.none() | st.floats(0.1, 2)), draw(st.none() | st.floats(0, 1)), draw(st.none() | st.integers(1, 9))
        ),
        purpose=draw(st.sampled_from(["train", "eval"])),
        evaluation=draw(st.none() | TEXT),
        dataset=draw(st.none() | TEXT),
        metadata=draw(st.dictionaries(TEXT, PLAIN, max_size=3)),
        created_at=draw(st.floats(0, 1e12)),
    )


@st.composite
def responses(draw: st.DrawFn) -> Generated:
    tokens = draw(TOKENS)
    cuts = sorted(draw(st.sets(st.integers(1, len(tokens)), max_size=3)) | {0, len(tokens)})
    spans = tuple(VersionSpan(number, start, end) for number, (start, end) in enumerate(pairwise(cuts)))
    log_probs = draw(st.lists(st.floats(-100, 0, width=32), min_size=len(tokens), max_size=len(tokens)))
    return Generated(
        token_array(tokens),
        float_array(log_probs),
        spans,
        draw(st.sampled_from(["stop", "length"])),
        draw(TEXT),
        draw(TEXT),
    )


def assert_same(first: Any, second: Any) -> None:
    for field in fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes(), field.name
        else:
            assert one == other, field.name


@given(tasks())
def test_a_task_survives_the_wire(task: Task) -> None:
    assert_same(task, decode_task(encode(task)))


@given(responses())
def test_a_response_survives_the_wire(response: Generated) -> None:
    again = decode_generated(encode(response))
    assert_same(response, again)
    assert again.oldest_version == 0
    assert again.newest_version == len(response.version_spans) - 1


@given(
    st.sampled_from(["correct", "wrong", "no_answer", "timeout", "error"]),
    st.none() | st.floats(-1, 1),
    st.none() | TEXT,
    TEXT,
)
def test_a_verdict_survives_the_wire(name: Any, reward: float | None, extracted: str | None, reason: str) -> None:
    verdict = Verdict(name, reward, extracted, reason)
    assert decode_verdict(encode(verdict)) == verdict


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30), st.integers(0, 10**9))
def test_values_survive_the_wire(numbers: list[float], version: int) -> None:
    values = Values(float_array(numbers), version)
    assert_same(values, decode_values(encode(values)))


@given(st.dictionaries(TEXT, PLAIN, max_size=5))
def test_a_mapping_survives_the_wire(mapping: dict[str, Any]) -> None:
    assert decode_mapping(encode(mapping)) == mapping


@given(st.binary(max_size=60))
def test_bytes_that_are_no_record_are_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode_task(data)


@given(responses(), st.data())
def test_a_cut_record_is_refused(response: Generated, data: st.DataObject) -> None:
    encoded = encode(response)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    with pytest.raises(MessageError):
        decode_generated(cut)


def record(**changes: Any) -> dict[str, Any]:
    """The body of a good response, changed."""
    good = {
        "token_ids": token_array([1, 2]).tobytes(),
        "behaviour_log_probs": float_array([-1, -2]).tobytes(),
        "version_spans": [[0, 0, 2]],
        "finish_reason": "stop",
        "text": "x",
        "generator": "",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"token_ids": b""},
        {"token_ids": b"123"},
        {"token_ids": "text"},
        {"token_ids": None},
        {"behaviour_log_probs": float_array([-1]).tobytes()},
        {"behaviour_log_probs": float_array([-1, np.nan]).tobytes()},
        {"behaviour_log_probs": float_array([-np.inf, -1]).tobytes()},
        {"behaviour_log_probs": float_array([0.5, -1]).tobytes()},
        {"behaviour_log_probs": float_array([-1, 1e-5]).tobytes()},
        {"version_spans": []},
        {"version_spans": [[0, 0, 1]]},
        {"version_spans": [[0, 1, 2]]},
        {"version_spans": [[0, 0, 3]]},
        {"version_spans": [[0, 0]]},
        {"version_spans": None},
        {"extra": 1},
    ],
)
def test_a_malformed_response_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        decode_generated(msgpack.packb([1, record(**changes)]))


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), float("-inf")])
def test_a_reward_that_is_no_number_is_refused(reward: float) -> None:
    with pytest.raises(MessageError, match="reward"):
        Verdict("correct", reward, "2", "equal")
    wire = {"verdict": "correct", "reward": reward, "extracted": None, "reason": ""}
    with pytest.raises(MessageError, match="reward"):
        decode_verdict(msgpack.packb([1, wire]))


@pytest.mark.parametrize(
    "data",
    [
        msgpack.packb([2, record()]),
        msgpack.packb(record()),
        msgpack.packb([1, [1, 2]]),
        msgpack.packb([1]),
        msgpack.packb(None),
        msgpack.packb([1, record()]) + b"x",
        b"",
    ],
)
def test_another_schema_or_form_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode_generated(data)


def test_a_good_record_by_hand_is_read() -> None:
    assert decode_generated(msgpack.packb([1, record()])).text == "x"


@pytest.mark.parametrize(
    "fields_of_a_task",
    [
        {"id": ""},
        {"id": "a.b"},
        {"id": "x" * 201},
        {"samples": 0},
        {"answer": "  "},
        {"prompt_token_ids": token_array([])},
    ],
)
def test_an_impossible_task_is_refused(fields_of_a_task: dict[str, Any]) -> None:
    good = {"id": "a", "prompt_token_ids": token_array([1]), "prompt": "p", "answer": "1"}
    with pytest.raises(MessageError):
        Task(**{**good, **fields_of_a_task})
