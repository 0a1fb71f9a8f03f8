"""Admission, rewards, registry and frames of the verifier."""

from __future__ import annotations

import pytest

from services.verifier import registry
from services.verifier.judgement.measures import same_measure
from services.verifier.judgement.parser_limits import refusal
from services.verifier.judgement.verdicts import Fault, Judgement, Outcome
from services.verifier.pool import pipe_messages
from services.verifier.reward import reward, verdict
from vapo.settings import VerifierSettings


@pytest.mark.parametrize(
    ("latex", "why"),
    [
        ("9^{9^{9^{9}}}", "tower"),
        ("9^9^9^9", "tower"),
        ("2^{1000000}", "exponent"),
        ("99999!", "factorial"),
        ("9!!", "factorial"),
        ("(" * 50 + ")" * 50, "nested"),
        ("x" * 3000, "characters"),
        ("7" * 500, "digits"),
        (r"1\\" * 200, "cells"),
    ],
)
def test_what_could_only_exhaust_a_parser_is_refused(latex: str, why: str) -> None:
    assert why in (refusal(latex) or "")


@pytest.mark.parametrize(
    "latex", ["x^{2^n}", "2^{99}", r"\frac{10!}{5!5!}", "e^{-x^2}", r"\left(\frac{1}{2}\right)^{10}"]
)
def test_ordinary_formulas_are_admitted(latex: str) -> None:
    assert refusal(latex) is None


@pytest.mark.parametrize(
    ("judgement", "worth"),
    [
        (Judgement(Outcome.CORRECT, ""), 1.0),
        (Judgement(Outcome.WRONG, ""), -1.0),
        (Judgement(Outcome.NO_ANSWER, ""), -1.0),
        (Judgement(Outcome.TIMEOUT, "", fault=Fault.RESPONSE), -1.0),
        (Judgement(Outcome.TIMEOUT, "", fault=Fault.REFERENCE), None),
        (Judgement(Outcome.ERROR, "", fault=Fault.REFERENCE), None),
        (Judgement(Outcome.ERROR, "", fault=Fault.VERIFIER), None),
    ],
)
def test_no_response_is_punished_for_the_fault_of_another(judgement: Judgement, worth: float | None) -> None:
    kept = verdict(judgement, VerifierSettings())
    assert kept.reward == worth
    assert kept.verdict == judgement.outcome


def test_correct_is_decided_by_the_verdict_and_not_by_the_reward() -> None:
    settings = VerifierSettings(reward_correct=0.0, reward_wrong=0.5)
    assert verdict(Judgement(Outcome.CORRECT, ""), settings).correct
    assert not verdict(Judgement(Outcome.WRONG, ""), settings).correct


def test_the_format_term_changes_the_reward_and_not_the_verdict() -> None:
    settings = VerifierSettings(format_reward=0.25)
    wrong = Judgement(Outcome.WRONG, "")
    kept = verdict(wrong, settings, well_formed=True)
    assert (kept.reward, kept.correct) == (-0.75, False)
    assert reward(wrong, settings) == -1.0
    excluded = Judgement(Outcome.ERROR, "", fault=Fault.REFERENCE)
    assert reward(excluded, settings, well_formed=True) is None


@pytest.mark.parametrize("pattern", ["(", "[a", "(?P<x", "a{99999999999999}", "(" * 20_000])
def test_a_format_pattern_that_is_none_is_refused_with_the_settings(pattern: str) -> None:
    with pytest.raises(ValueError, match="is no regular expression"):
        VerifierSettings(format_pattern=pattern)


def test_exact_match_takes_no_other_way_of_writing() -> None:
    verifier = registry.create("exact", {})
    assert verifier.judge(r"\boxed{1/2}", "1/2").outcome is Outcome.CORRECT
    assert verifier.judge(r"\boxed{0.5}", "1/2").outcome is Outcome.WRONG
    assert verifier.judge("1/2", "1/2").outcome is Outcome.NO_ANSWER


def test_an_unknown_verifier_is_named_with_those_there_are() -> None:
    with pytest.raises(registry.UnknownVerifier, match=r"'poetry'.*exact, math"):
        registry.create("poetry", {})


def test_judgements_survive_the_pipe() -> None:
    judgement = Judgement(Outcome.ERROR, "why", None, Fault.REFERENCE)
    wire = pipe_messages.encode(judgement.as_dict())
    assert pipe_messages.body_length(wire[:4]) == len(wire) - 4
    assert Judgement.from_dict(pipe_messages.decode(wire[4:])) == judgement


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"3"])
def test_a_frame_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(pipe_messages.PipeMessageError):
        pipe_messages.decode(body)


def test_a_frame_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(pipe_messages.PipeMessageError):
        pipe_messages.body_length(b"\xff\xff\xff\xff")


@pytest.mark.parametrize(
    ("reference", "answer", "said"),
    [
        ("5 m", "5", None),
        ("5 m", "5 \\text{ meters}", None),
        ("5 m", "5 kg", False),
        ("5 m^2", "5 m", False),
        ("1.5 \\text{ km}", "1500 \\text{ m}", ("1500", "1500")),
        ("\\$2", "200 cents", ("2", "2")),
        ("£5", "5 pounds", None),
        ("£5", "€5", False),
        ("3x", "3y", None),
        ("\\$5 per hour", "5 euros", None),
    ],
)
def test_units_on_both_sides_are_compared(reference: str, answer: str, said: tuple[str, str] | bool | None) -> None:
    assert same_measure(reference, answer) == said
