"""What `vapo eval` says of a result."""

from __future__ import annotations

from typing import Any

import pytest

from vapo.cli.output.evaluation_words import describe, has_failed
from vapo.cli.output.watch_lines import evaluation

RESULT: dict[str, Any] = {
    "samples": 2,
    "avg_at_k": 0.5,
    "standard_error": 0.1,
    "maj_at_k": 0.5,
    "pass_at_k": {"1": 0.5, "2": 0.75},
    "problems": 4,
    "responses": 8,
    "temperature": 1.0,
    "top_p": 0.7,
    "max_new_tokens": 128,
    "mean_length": 90.0,
    "truncated": 0.0,
    "oldest_weight_version": 1,
    "newest_weight_version": 2,
    "failed": 0,
    "not_judged": 0,
    "reasons": [],
}


def test_a_sound_result_has_no_warning() -> None:
    assert len(describe(RESULT)) == 4
    assert not has_failed(RESULT)


@pytest.mark.parametrize(
    ("share", "words"),
    [(1.0, "100 % of responses were cut at max_new_tokens=128"), (0.25, "25 % of responses"), (0.19, None)],
)
def test_a_large_share_of_cut_responses_is_said(share: float, words: str | None) -> None:
    said = "\n".join(describe({**RESULT, "truncated": share}))
    assert ("raise --max-new-tokens" in said) == (words is not None)
    assert words is None or words in said


def test_failures_are_said_with_their_reasons() -> None:
    result = {
        **RESULT,
        "failed": 3,
        "not_judged": 1,
        "reasons": [{"reason": "too hot", "responses": 3}, {"reason": "timeout", "responses": 1}],
    }
    said = describe(result)
    assert has_failed(result)
    assert "3 of 8 responses failed" in said[-4]
    assert said[-2:] == ["  3 times: too hot", "  1 times: timeout"]


def test_what_could_not_be_judged_alone_is_no_failure() -> None:
    assert not has_failed({**RESULT, "not_judged": 1})


def test_without_a_score_it_has_failed() -> None:
    keys = {"avg_at_k", "standard_error", "maj_at_k", "pass_at_k", "mean_length", "truncated"}
    result = {name: value for name, value in RESULT.items() if name not in keys}
    assert has_failed(result)
    assert describe(result)[0] == "avg@2 none: no response was judged"


def test_watch_tells_of_failures_and_cuts_too() -> None:
    line = evaluation(
        {**RESULT, "id": "e1", "truncated": 1.0, "failed": 2, "reasons": [{"reason": "too\nhot", "responses": 2}]}
    )
    assert "avg@2 0.5000 ± 0.1000, maj@2 0.5000, 100% cut, 2 failed (too hot)" in line
    none = evaluation({"id": "e2", "samples": 2, "failed": 2, "reasons": []})
    assert "nothing was judged, 2 failed" in none
