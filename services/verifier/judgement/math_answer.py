r"""The judgement of a mathematical answer: extraction, exact comparison, symbolic comparison.

Invariants:
- pure and deterministic: the same response, reference and rules give the same judgement;
- :func:`judge_cheaply` never imports sympy, takes time linear in the response and answers the
  common case (equal strings, numbers); what it cannot decide is None, never a guess;
- a failure of the reference or of the comparison itself is an error with its fault named, never
  "wrong".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from services.verifier.judgement.answers_in_words import same_statement
from services.verifier.judgement.choices import same_choice
from services.verifier.judgement.comparison import compare, is_word, readable_in_parts, structure_of
from services.verifier.judgement.described_roots import is_described_root
from services.verifier.judgement.extraction import answer_phrase, boxed_reference, extract, hashes
from services.verifier.judgement.formula_values import beyond_range, same_value
from services.verifier.judgement.measures import in_radians, same_measure
from services.verifier.judgement.normalisation import clean, is_letters_of_word, plain, unwrapped
from services.verifier.judgement.number_words import as_digits
from services.verifier.judgement.numerals import same_numeral
from services.verifier.judgement.outer_form import Kind, take_apart
from services.verifier.judgement.overlooked_text import unread_pieces
from services.verifier.judgement.parser_limits import MAXIMUM_CHARACTERS, refusal
from services.verifier.judgement.residues import congruent, without_modulus
from services.verifier.judgement.rounding import stands_for
from services.verifier.judgement.surrounding_words import has_reservation, words_at_end
from services.verifier.judgement.synonyms import in_signs
from services.verifier.judgement.times_of_day import same_time
from services.verifier.judgement.transcribed_columns import digits_of_column
from services.verifier.judgement.uninterpreted_signs import has_unread_signs, same_signs
from services.verifier.judgement.verdicts import Fault, Judgement, Outcome, ReferenceFault, reference_fault
from services.verifier.judgement.written_numbers import (
    ExactNumber,
    read_grouped,
    read_number,
    read_regional,
    same_number,
)

CACHED_REFERENCES = 16_384

_NAME = r"\\?[a-zA-Z]+\s?(?:_\s?(?:\{[^{}]*\}|\w))?\s?(?:\(\s?[a-z](?:\s?,\s?[a-z])*\s?\))?"
_RELATION = r"\s?(?:=|\\approx(?![a-zA-Z])|\\in(?![a-zA-Z])|:)\s?"
_ASSIGNMENT = re.compile(rf"({_NAME}){_RELATION}([^=]+)")
_REVERSED = re.compile(r"([^=,]+)\s?=\s?([a-zA-Z])")
_FUNCTION_NAMES = frozenset({"y", "f(x)", "g(x)", "h(x)"})


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer in its three forms."""

    cleaned: str
    """LaTeX for a parser."""
    plain: str
    """Text whose equality decides."""
    number: ExactNumber | None
    """Its value when it is a number written in digits."""
    written: str
    """The text itself, with its units."""
    words: str = ""
    """Words after the value that may say something (:func:`services.verifier.judgement.surrounding_words`)."""


def judge_cheaply(response: str, reference: str, rules: Sequence[str] = ("boxed",)) -> Judgement | None:
    """The judgement, if it needs no symbolic work, else None.

    Args:
        response: what the model wrote.
        reference: the task's answer; may itself be boxed.
        rules: extraction rules in order (:mod:`services.verifier.judgement.extraction`).
    """
    try:
        expected = read_reference(reference)
    except ReferenceFault as fault:
        return reference_fault(str(fault))
    if "stated" in rules and _is_reference(response, expected):
        return Judgement(Outcome.CORRECT, "the same text", response.strip())
    extracted = extract(response, rules, parts_of(expected))
    if extracted is None:
        return Judgement(Outcome.NO_ANSWER, "no answer found by rule " + ", ".join(rules))
    if len(extracted) > MAXIMUM_CHARACTERS:
        return Judgement(Outcome.WRONG, f"an answer of {len(extracted)} characters", extracted)
    decided = _decide(expected, _read_beside(expected, extracted))
    return decided and Judgement(*decided, extracted)


def judge(response: str, reference: str, rules: Sequence[str] = ("boxed",)) -> Judgement:
    """The judgement, by symbolic work where needed: only in a process that can be killed."""
    cheap = judge_cheaply(response, reference, rules)
    if cheap is not None:
        return cheap
    expected = read_reference(reference)
    extracted = extract(response, rules, parts_of(expected)) or ""
    outcome, reason, fault = _compare(expected, _read_beside(expected, extracted))
    return Judgement(outcome, reason, extracted, fault)


def check_reference(reference: str) -> None:
    """Do the work that depends on the reference alone, so that a hang in it is known to be its
    fault.

    Raises:
        ReferenceFault: it is empty or too long.
    """
    from services.verifier.judgement import symbolic

    expected = read_reference(reference)
    if expected.number is None and not is_word(expected.plain):
        try:
            symbolic.try_reference(expected.cleaned)
        except symbolic.NotAFormula:
            return  # then it is compared as text


@lru_cache(maxsize=CACHED_REFERENCES)
def read_reference(reference: str) -> Answer:
    """The reference in its forms. Raises ReferenceFault when it is empty or too long."""
    if len(reference) > MAXIMUM_CHARACTERS * 4:
        raise ReferenceFault(f"the reference has {len(reference)} characters")
    found = (rule(reference) for rule in (boxed_reference, hashes, answer_phrase))
    answer = _read(next((content for content in found if content is not None), reference), True)
    if not answer.plain:
        raise ReferenceFault("the reference is empty")
    if len(answer.cleaned) > MAXIMUM_CHARACTERS:
        raise ReferenceFault(f"the reference has {len(answer.cleaned)} characters; at most {MAXIMUM_CHARACTERS}")
    return answer


def _is_reference(response: str, expected: Answer) -> bool:
    """Whether the whole response is the reference, where a bare answer is allowed."""
    short = len(response) <= MAXIMUM_CHARACTERS
    same = short and plain(clean(response)) == expected.plain
    return same and same_measure(expected.written, response) is None


def parts_of(answer: Answer) -> int:
    """How many parts a list or set has; 1 for anything else."""
    structure = structure_of(answer.cleaned)
    return len(structure.items) if structure.kind in (Kind.LIST, Kind.SET) else 1


def _read(text: str, trusted: bool = False) -> Answer:
    """An answer or, where ``trusted``, a reference in its forms."""
    layoutless = clean(text)
    words = words_at_end(layoutless)
    cleaned = as_digits(clean(text, trusted) if trusted else layoutless)
    if cleaned.startswith("\\text"):
        cleaned = _spelled_in_text(cleaned)
    simple = plain(cleaned)
    if (signs := in_signs(simple)) != simple:
        cleaned = simple = signs
    number = read_number(cleaned)
    if number is None and "," not in simple:
        number = read_number(as_digits(unwrapped(cleaned)))
    return Answer(cleaned, simple, number, text, words)


def _read_beside(expected: Answer, text: str) -> Answer:
    """An answer, trusted where the words after its value are those of the reference."""
    answer = _read(text)
    return _read(text, True) if answer.words and answer.words == expected.words else answer


def _spelled_in_text(cleaned: str) -> str:
    r"""``\text{one and a half}`` as its digits; any other text unchanged."""
    words = unwrapped(cleaned)
    digits = as_digits(words)
    return cleaned if digits == words else digits


def _decide(expected: Answer, answer: Answer) -> tuple[Outcome, str] | None:
    """What equality of texts, of numbers and of values, part by part, can decide."""
    if not answer.plain:
        return Outcome.NO_ANSWER, "the answer is empty"
    converted = same_measure(expected.written, answer.written)
    if converted is not None:
        return _decide_measures(converted)
    if expected.plain == answer.plain:
        return Outcome.CORRECT, "the same text"
    at_one_time = same_time(expected.cleaned, answer.cleaned)
    if at_one_time is not None:
        outcome = Outcome.CORRECT if at_one_time else Outcome.WRONG
        return outcome, "the same time" if at_one_time else "another time"
    if expected.number is not None and answer.number is not None:
        same = same_number(expected.number, answer.number) or _rounded(expected, answer)
        return (Outcome.CORRECT, "the same number") if same else (Outcome.WRONG, "another number")
    if _same_in_regions(expected, answer):
        return Outcome.CORRECT, "the same number, in another country's writing"
    for reason, rule in _RULES:
        same_by_rule = rule(expected, answer)
        if same_by_rule is not None:
            return (Outcome.CORRECT, reason) if same_by_rule else (Outcome.WRONG, f"not {reason}")
    return None


def _decide_measures(converted: tuple[str, str] | bool) -> tuple[Outcome, str]:
    """Of two answers with different units."""
    if isinstance(converted, bool):
        return Outcome.WRONG, "units of different things"
    first, second = (_read(value) for value in converted)
    if first.number is not None and second.number is not None:
        same: bool | None = same_number(first.number, second.number)
    else:
        same = _same_parts(first, second)
    return (Outcome.CORRECT, "the same measure") if same else (Outcome.WRONG, "another measure")


def _rounded(expected: Answer, answer: Answer) -> bool:
    return answer.number is not None and stands_for(expected.plain, answer.number.value)


def _readable(expected: Answer, answer: Answer) -> bool | None:
    """False where only the answer is refused: nothing else is tried with it."""
    if refusal(answer.cleaned) is None or refusal(expected.cleaned) is not None:
        return None
    return False


def _same_choice(expected: Answer, answer: Answer) -> bool | None:
    return same_choice(expected.cleaned, answer.cleaned)


def _same_parts(expected: Answer, answer: Answer) -> bool | None:
    return compare(structure_of(expected.cleaned), structure_of(answer.cleaned))


def _same_residue(expected: Answer, answer: Answer) -> bool | None:
    first, second = without_modulus(expected.cleaned), without_modulus(answer.cleaned)
    if first is None and second is None:
        return None
    if first and second and first[1] != second[1]:
        return False
    values = (first or (expected.cleaned,))[0], (second or (answer.cleaned,))[0]
    same = congruent(*values, first[1]) if first and second else None
    return compare(*map(structure_of, values)) if same is None else same


def _same_numeral(expected: Answer, answer: Answer) -> bool | None:
    return same_numeral(expected.plain, answer.plain)


def _same_column(expected: Answer, answer: Answer) -> bool | None:
    spelled = digits_of_column(answer.cleaned)
    if spelled is None:
        return None
    return compare(structure_of(expected.cleaned), take_apart(spelled)) or None


def _same_statement(expected: Answer, answer: Answer) -> bool | None:
    words = expected.plain.split()
    if not all(map(str.isalpha, words)) or not any(map(is_letters_of_word, words)):
        return None
    return same_statement(unwrapped(expected.cleaned), unwrapped(answer.cleaned)) or None


def _same_word(expected: Answer, answer: Answer) -> bool | None:
    """False for two runs of letters that are not the same text: words, no products."""
    if not (expected.plain.isalpha() and answer.plain.isalpha()):
        return None
    words = any(map(is_letters_of_word, (expected.plain, answer.plain)))
    values = (structure_of(one.cleaned).kind is Kind.VALUE for one in (expected, answer))
    return False if words and all(values) else None


def _same_angle(expected: Answer, answer: Answer) -> bool | None:
    r"""``150^\circ`` is ``\frac{5\pi}{6}``, where one has the sign and the other has pi."""
    for degrees, radians in ((expected, answer), (answer, expected)):
        if r"\pi" in radians.cleaned and (formula := in_radians(degrees.written)):
            return same_value(formula, radians.cleaned) or None
    return None


def _described(expected: Answer, answer: Answer) -> bool | None:
    return is_described_root(expected.cleaned, answer.cleaned) or None


def _unreserved(expected: Answer, answer: Answer) -> bool | None:
    """False where only the answer takes back what it says: the parser would not see it."""
    reserved = has_reservation(answer.cleaned) and not has_reservation(expected.cleaned)
    return False if reserved else None


def _read_whole(expected: Answer, answer: Answer) -> bool | None:
    """False where one has words or dots that the other lacks: the parser would not see them."""
    same = unread_pieces(expected.cleaned) == unread_pieces(answer.cleaned)
    return None if same else False


def _not_too_large(expected: Answer, answer: Answer) -> bool | None:
    """False for a constant beyond all range, such as a tower of powers, as only the answer."""
    too_large = beyond_range(answer.cleaned) and not beyond_range(expected.cleaned)
    return False if too_large else None


def _same_signs(expected: Answer, answer: Answer) -> bool | None:
    """Decides where one has signs that the parser would pass over."""
    if not (has_unread_signs(expected.cleaned) or has_unread_signs(answer.cleaned)):
        return None
    return same_signs(expected.cleaned, answer.cleaned)


_RULES: tuple[tuple[str, Callable[[Answer, Answer], bool | None]], ...] = (
    ("a formula that may be read", _readable),
    ("the same choice", _same_choice),
    ("the same statement", _same_statement),
    ("the same word", _same_word),
    ("the same number, in a column", _same_column),
    ("the same numeral", _same_numeral),
    ("the same residue", _same_residue),
    ("the same angle", _same_angle),
    ("the same value", _same_parts),
    ("the root that is described", _described),
    ("an answer without reservation", _unreserved),
    ("an answer in the same words", _read_whole),
    ("a number within range", _not_too_large),
    ("the same signs", _same_signs),
)


def _same_in_regions(expected: Answer, answer: Answer) -> bool:
    """Whether one of both is the other in another country's writing.

    A reference such as ``1,25`` may be a list: only an answer with the same digits makes it 1.25.
    """
    if expected.plain.count(",") == 1 and expected.plain.replace(",", ".") == answer.plain:
        return read_regional(expected.plain) is not None
    pairs = (
        (expected.number, read_regional(answer.written.strip(" $."))),
        (answer.number, read_grouped(expected.plain)),
    )
    return any(one and other and same_number(one, other) for one, other in pairs)


def align(expected: Answer, answer: Answer) -> tuple[Answer, Answer]:
    """Both without ``x =`` where only one of them names the unknown, or both name it y or f(x)."""
    first, second = _assigned(expected), _assigned(answer)
    if first and second:
        both_named = {first[0], second[0]} <= _FUNCTION_NAMES
        return (_read(first[1]), _read(second[1])) if both_named else (expected, answer)
    if first and "=" not in answer.cleaned:
        return _read(first[1]), answer
    if second and "=" not in expected.cleaned:
        return expected, _read(second[1])
    return expected, answer


def _assigned(answer: Answer) -> tuple[str, str] | None:
    """(name, value) of an answer of the form ``name = value`` or ``value = x``."""
    match = _ASSIGNMENT.fullmatch(answer.cleaned)
    if match:
        return match[1].replace(" ", ""), match[2]
    match = _REVERSED.fullmatch(answer.cleaned)
    return (match[2], match[1]) if match else None


def _compare(expected: Answer, answer: Answer) -> tuple[Outcome, str, Fault]:
    from services.verifier.judgement import symbolic

    first, second = align(expected, answer)
    try:
        symbolic.parse(first.cleaned)
    except symbolic.NotAFormula as error:
        return _without_formula(first, second, str(error))
    try:
        same = symbolic.equal(first.cleaned, second.cleaned)
    except symbolic.NotAFormula as error:
        return Outcome.WRONG, f"not a formula: {error}", Fault.NONE
    except symbolic.ComparisonFailed as error:
        return Outcome.WRONG, f"they cannot be compared: {error}", Fault.NONE
    outcome = Outcome.CORRECT if same else Outcome.WRONG
    return outcome, "symbolically equal" if same else "not equal", Fault.NONE


def _without_formula(expected: Answer, answer: Answer, error: str) -> tuple[Outcome, str, Fault]:
    """The reference can only be read as text: any other text is wrong.

    An error would leave out the wrong answers alone and pay the same text all the same.
    """
    if same_signs(expected.cleaned, answer.cleaned):
        return Outcome.CORRECT, "the same signs", Fault.NONE
    if readable_in_parts(structure_of(expected.cleaned)):
        return Outcome.WRONG, "not the same in every part", Fault.NONE
    return Outcome.WRONG, f"other text; the reference is no formula: {error}", Fault.NONE
