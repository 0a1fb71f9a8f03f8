r"""Comparison of two answers part by part, without a symbolic parser.

Invariants:
- True and False are said only where the outer forms are understood and every part is decided; in
  all other cases the answer is None and the symbolic parser decides;
- order matters in tuples, vectors, intervals and matrices; it does not in lists and sets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from services.verifier.judgement.arithmetic import Number
from services.verifier.judgement.equations import FUNCTION_NAMES, assigned, contradicts, denies, with_argument
from services.verifier.judgement.exclusions import as_union
from services.verifier.judgement.formula_values import constant, has_variables, is_formula, same_equation, same_value
from services.verifier.judgement.normalisation import plain
from services.verifier.judgement.numerals import same_numeral
from services.verifier.judgement.outer_form import Kind, Structure, take_apart
from services.verifier.judgement.ratios import same_ratio
from services.verifier.judgement.rounding import is_rounded, stands_for
from services.verifier.judgement.uninterpreted_signs import has_no_value, has_unread_signs, same_signs
from services.verifier.judgement.written_numbers import read_number, same_number

CACHED_STRUCTURES = 16_384
MAXIMUM_UNORDERED = 24
"""Longer lists are not matched here (the work grows with the square)."""
_WORD = re.compile(r"[a-zA-Z]{4,}|[a-zA-Z]{2,}(?:[ '-]+[a-zA-Z]+)+[.!]?")
_DECIMAL = re.compile(r"-?\d*\.\d+")
_MEMBER = re.compile(r"\\in(?![a-zA-Z])")
_CAPITAL = re.compile(r"[A-Z]")
_LABELLED = re.compile(r"[A-Z]'?(?:_\{?\w\}?)?\s?(\(.+\))", re.DOTALL)
"""A point with its name: ``P(1, 2)``."""


@lru_cache(maxsize=CACHED_STRUCTURES)
def structure_of(cleaned: str) -> Structure:
    """:func:`services.verifier.judgement.outer_form.take_apart`, remembered."""
    return take_apart(cleaned)


def compare(reference: Structure, answer: Structure) -> bool | None:
    """Whether two answers are the same."""
    for rule in _RULES:
        applies, verdict = rule(reference, answer)
        if applies:
            return verdict
    return None


def readable_in_parts(structure: Structure) -> bool:
    """Whether an answer of several parts, such as a system of equations, is one of formulas."""
    if structure.kind is Kind.VALUE:
        return is_formula(structure.text)
    return bool(structure.items) and all(readable_in_parts(item) for item in structure.items)


def is_word(text: str) -> bool:
    """Whether ``text`` is words, not a product of letters."""
    return bool(_WORD.fullmatch(text))


_Decision = tuple[bool, bool | None]
_NOT_MINE: _Decision = (False, None)


def _joined(reference: Structure, answer: Structure) -> _Decision:
    """Inequalities and options: those joined by "or" are not those joined by "and"."""
    joined = reference.connective, answer.connective
    if not any(joined):
        return _NOT_MINE
    items = (*reference.items, *answer.items)
    choosing = any(i.kind is Kind.INTERVAL or _CAPITAL.fullmatch(i.text) for i in items)
    if set(joined) == {"and", "or"} and choosing:
        return True, False
    first, second = _intersection(reference), _intersection(answer)
    if first is reference and second is answer:
        return _NOT_MINE
    return True, compare(first, second)


def _intersection(structure: Structure) -> Structure:
    """``x > 1`` and ``x < 3`` as one interval; anything else, or an empty one, unchanged."""
    items = structure.items
    if structure.connective != "and" or len(items) != 2:
        return structure
    if any(item.kind is not Kind.INTERVAL for item in items):
        return structure
    first, second = sorted(items, key=lambda item: item.items[0].text == r"-\infty")
    ends = first.items[0], second.items[1]
    values = [constant(end.text) for end in ends]
    half_lines = first.items[1].text == r"\infty" and second.items[0].text == r"-\infty"
    if not half_lines or first.variable != second.variable or not _ascend(values):
        return structure
    brackets = first.brackets[0] + second.brackets[1]
    return replace(first, items=ends, brackets=brackets)


def _ascend(values: Sequence[Number | None]) -> bool:
    """Whether two real numbers stand in order."""
    low, high = values
    if not (isinstance(low, Fraction | float) and isinstance(high, Fraction | float)):
        return False
    return low < high


def _values(reference: Structure, answer: Structure) -> _Decision:
    if not reference.kind == answer.kind == Kind.VALUE:
        return _NOT_MINE
    return True, _same_text(reference.text, answer.text)


def _same_text(reference: str, answer: str) -> bool | None:
    first, second = plain(reference), plain(answer)
    if first == second:
        return True
    numbers = read_number(reference), read_number(answer)
    if numbers[0] is not None and numbers[1] is not None:
        return same_number(numbers[0], numbers[1]) or _rounds(reference, answer)
    if is_word(first) and is_word(second):
        return False
    if (is_word(first) and numbers[1]) or (is_word(second) and numbers[0]):
        return False
    numeral = same_numeral(first, second)
    if numeral is not None:
        return numeral
    if "\\infty" in first + second:
        return _same_infinity(first, second)
    ratio = same_ratio(reference, answer)
    if ratio is not None:
        return ratio
    if any(has_no_value(text) or _MEMBER.search(text) for text in (reference, answer)):
        return same_signs(reference, answer)
    verdict = same_value(reference, answer)
    if verdict is None and (has_unread_signs(reference) or has_unread_signs(answer)):
        return same_signs(reference, answer)
    return verdict or _rounds(reference, answer) or verdict


def _same_infinity(first: str, second: str) -> bool | None:
    signs = {"\\infty": 1, "+\\infty": 1, "-\\infty": -1}
    if first in signs and second in signs:
        return signs[first] == signs[second]
    other = second if first in signs else first
    return False if read_number(other) is not None else None


def _rounds(reference: str, answer: str) -> bool:
    """Whether the reference is the answer's rounded decimal."""
    value = constant(answer)
    return value is not None and stands_for(reference, value)


def _written_twice(reference: Structure, answer: Structure) -> _Decision:
    r"""``\frac52 \text{ or } 2.5``: every item must be the reference, or its rounded decimal."""
    if reference.kind is not Kind.VALUE or answer.kind is not Kind.LIST:
        return _NOT_MINE
    verdicts = [compare(reference, item) for item in answer.items]
    if True not in verdicts or not all(
        verdict or _is_rounding(item.text, reference.text) for verdict, item in zip(verdicts, answer.items, strict=True)
    ):
        return _NOT_MINE
    return True, True


def _is_rounding(decimal: str, formula: str) -> bool:
    value = constant(formula) if _DECIMAL.fullmatch(decimal) else None
    return value is not None and is_rounded(decimal, value)


def _labelled(reference: Structure, answer: Structure) -> _Decision:
    """``P(1, 2)`` against ``(1, 2)``."""
    for one, other in ((reference, answer), (answer, reference)):
        if one.kind is Kind.SEQUENCE and one.brackets == "()" and other.kind is Kind.VALUE:
            point = _LABELLED.fullmatch(other.text)
            return (True, compare(one, take_apart(point[1]))) if point else _NOT_MINE
    return _NOT_MINE


def _number_and_several(reference: Structure, answer: Structure) -> _Decision:
    """A single value is neither a tuple or list of several nor a matrix nor an interval."""
    for one, other in ((reference, answer), (answer, reference)):
        several = other.kind in (Kind.MATRIX, Kind.UNION, Kind.INTERVAL) or (
            other.kind in (Kind.SEQUENCE, Kind.LIST) and len(other.items) > 1
        )
        if one.kind is Kind.VALUE and several and is_formula(one.text):
            return True, False
    return _NOT_MINE


def _equations(reference: Structure, answer: Structure) -> _Decision:
    if not reference.kind == answer.kind == Kind.EQUATION:
        return _NOT_MINE
    first, second = assigned(reference), assigned(answer)
    if first and second:
        names = [_compact(first[0].text), _compact(second[0].text)]
        if names[0] == names[1] or FUNCTION_NAMES.issuperset(names):
            return True, compare(first[1], second[1])
        renamed = with_argument((names[1], second[1]), names[0])
        if renamed is not None:
            return True, compare(first[1], take_apart(renamed))
    if len(reference.items) == len(answer.items) == 2:
        left, right = ((side.items[0].text, side.items[1].text) for side in (reference, answer))
        return True, same_equation(left, right)
    return True, None


def _one_equation(reference: Structure, answer: Structure) -> _Decision:
    """``x = 5`` against ``5``: the side that holds the value is compared."""
    if (reference.kind is Kind.EQUATION) == (answer.kind is Kind.EQUATION):
        return _NOT_MINE
    if (denies(answer) and not denies(reference)) or contradicts(answer):
        return True, False
    if reference.kind is Kind.EQUATION:
        named = assigned(reference)
        if named:
            return True, compare(named[1], answer)
        unlike = has_variables(reference.items[0].text) and constant(answer.text) is not None
        return True, False if unlike else None
    named = assigned(answer)
    if named:
        return True, compare(reference, named[1])
    value = answer.items[-1] if answer.exact else answer.items[0]
    return True, compare(reference, value) or None


def _intervals(reference: Structure, answer: Structure) -> _Decision:
    """Inequalities and brackets with two ends."""
    kinds = {reference.kind, answer.kind}
    if Kind.INTERVAL not in kinds or not kinds <= {Kind.INTERVAL, Kind.SEQUENCE}:
        return _NOT_MINE
    if len(reference.items) != 2 or len(answer.items) != 2:
        return True, None
    if reference.variable and answer.variable and reference.variable != answer.variable:
        return True, None
    if reference.brackets != answer.brackets:
        return True, False
    return True, _in_order(reference.items, answer.items)


def _sequences(reference: Structure, answer: Structure) -> _Decision:
    """Tuples, vectors, and intervals in brackets."""
    rows = _row(reference), _row(answer)
    if rows[0] is None or rows[1] is None:
        return _NOT_MINE
    if len(rows[0]) != len(rows[1]):
        return True, False
    brackets = {one.brackets for one in (reference, answer) if one.brackets}
    if len(rows[0]) == 2 and len(brackets) > 1:
        return True, False
    return True, _in_order(rows[0], rows[1])


def _row(structure: Structure) -> Sequence[Structure] | None:
    """The entries of a tuple, or of a matrix of one row or one column."""
    if structure.kind is Kind.SEQUENCE:
        return structure.items
    if structure.kind is not Kind.MATRIX:
        return None
    if len(structure.items) == 1:
        return structure.items[0].items
    columns = [row.items for row in structure.items]
    return [column[0] for column in columns] if len(columns[0]) == 1 else None


def _matrices(reference: Structure, answer: Structure) -> _Decision:
    reference, answer = _as_matrix(reference), _as_matrix(answer)
    if not reference.kind == answer.kind == Kind.MATRIX:
        return _NOT_MINE
    shapes = [[len(row.items) for row in matrix.items] for matrix in (reference, answer)]
    if shapes[0] != shapes[1]:
        return True, False
    pairs = zip(reference.items, answer.items, strict=True)
    return True, _all(_in_order(first.items, second.items) for first, second in pairs)


def _as_matrix(structure: Structure) -> Structure:
    """``[[1, 2], [3, 4]]`` as a matrix; anything else unchanged."""
    rows = structure.items
    nested = structure.kind is Kind.SEQUENCE and structure.brackets == "[]" and rows
    if nested and all(row.kind is Kind.SEQUENCE and row.brackets == "[]" for row in rows):
        return Structure(Kind.MATRIX, structure.text, rows)
    return structure


def _lists(reference: Structure, answer: Structure) -> _Decision:
    """Lists and sets against each other and against a sequence."""
    reference, answer = _as_union(as_union(reference)), _as_union(as_union(answer))
    kinds = {reference.kind, answer.kind}
    if kinds == {Kind.SET} and _sets_in(reference) != _sets_in(answer):
        return True, False
    if kinds == {Kind.LIST} and len(reference.items) > len(answer.items):
        # What the reference repeats counts: roots with their multiplicity.
        return True, False if all(map(_of_constants, (reference, answer))) else None
    if kinds <= {Kind.LIST, Kind.SET} or kinds == {Kind.UNION}:
        return True, _of_lists(reference.items, answer.items)
    if kinds == {Kind.SET, Kind.SEQUENCE} or _is_interval_beside_list(reference, answer):
        return True, False
    if kinds in ({Kind.LIST, Kind.SEQUENCE}, {Kind.LIST, Kind.MATRIX}):
        rows = [_row(one) or one.items for one in (reference, answer)]
        return True, _in_order(rows[0], rows[1])
    return _NOT_MINE


def _sets_in(structure: Structure) -> int:
    return sum(item.kind is Kind.SET for item in structure.items)


def _of_constants(structure: Structure) -> bool:
    items = structure.items
    return all(item.kind is Kind.VALUE and constant(item.text) is not None for item in items)


def _is_interval_beside_list(first: Structure, second: Structure) -> bool:
    """Whether one is a list and the other an interval: two ends in square brackets."""
    return any(
        one.kind is Kind.LIST and other.brackets == "[]" and len(other.items) == 2
        for one, other in ((first, second), (second, first))
    )


def _as_union(structure: Structure) -> Structure:
    """``x < -1`` or ``x > 1`` as the union of two intervals; anything else unchanged."""
    if structure.kind is Kind.LIST and all(i.kind is Kind.INTERVAL for i in structure.items):
        return Structure(Kind.UNION, structure.text, structure.items)
    return structure


def _of_lists(first: Sequence[Structure], second: Sequence[Structure]) -> bool | None:
    """Unordered, unless different names on one side alone give the order.

    ``x_1`` and ``x_2`` give none: which root is the first is the author's choice.
    """
    if len(first) != len(second) or len(first) > MAXIMUM_UNORDERED:
        return None
    for named, other in ((first, second), (second, first)):
        names = {found[0].text for item in named if (found := _name_of(item))}
        kinds = {name.partition("_")[0].strip() for name in names}
        if len(kinds) > 1 and not any(_name_of(item) for item in other):
            return _in_order(first, second)
    return _unordered(first, second)


def _name_of(item: Structure) -> tuple[Structure, Structure] | None:
    return assigned(item) if item.kind is Kind.EQUATION else None


def _unordered(first: Sequence[Structure], second: Sequence[Structure]) -> bool | None:
    left, doubtful = list(second), False
    for item in first:
        verdicts = [compare(item, other) for other in left]
        if True in verdicts:
            left.pop(verdicts.index(True))
        elif None in verdicts:
            doubtful = True
        else:
            return False
    return None if doubtful else True


def _in_order(first: Sequence[Structure], second: Sequence[Structure]) -> bool | None:
    if len(first) != len(second):
        return False
    return _all(compare(one, other) for one, other in zip(first, second, strict=True))


def _all(verdicts: object) -> bool | None:
    found = list(verdicts)  # type: ignore[call-overload]
    if False in found:
        return False
    return None if None in found else True


def _compact(name: str) -> str:
    return name.replace(" ", "")


_RULES: tuple[Callable[[Structure, Structure], _Decision], ...] = (
    _joined,
    _values,
    _written_twice,
    _labelled,
    _number_and_several,
    _equations,
    _one_equation,
    _intervals,
    _sequences,
    _matrices,
    _lists,
)
