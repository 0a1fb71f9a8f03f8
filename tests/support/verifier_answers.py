r"""Answers whose meaning is known, each in several ways of writing.

Invariants:
- all writings of one :class:`Meaning` mean the same;
- two meanings of one form with different ``identity`` are different answers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st

Numbers = tuple[int, ...]
PRIMES = (2, 3, 5, 7, 11, 13)


@dataclass(frozen=True)
class Form:
    """A kind of answer made of whole numbers."""

    numbers: st.SearchStrategy[Numbers]
    identity: Callable[[Numbers], Hashable]
    writings: tuple[Callable[[Numbers], str], ...]


@dataclass(frozen=True)
class Meaning:
    """A form filled with numbers."""

    form: str
    numbers: Numbers

    @property
    def identity(self) -> Hashable:
        """Equal for equal answers of one form."""
        return FORMS[self.form].identity(self.numbers)

    def writings(self) -> list[str]:
        """The answer in every way of writing."""
        return [write(self.numbers) for write in FORMS[self.form].writings]


def _draw(*parts: st.SearchStrategy[int]) -> st.SearchStrategy[Numbers]:
    return st.tuples(*parts)


_ANY = st.integers(-9999, 9999)
_NATURAL = st.integers(1, 9999)
_SMALL = st.integers(2, 60)
_PRIME = st.sampled_from(PRIMES)
_TWO = _draw(_ANY, _ANY)


def _signed(number: int, rest: str = "") -> str:
    return f"+{number}{rest}" if number >= 0 else f"{number}{rest}"


FORMS: dict[str, Form] = {
    "integer": Form(
        _draw(_ANY),
        lambda n: n,
        (
            lambda n: f"{n[0]}",
            lambda n: f"{n[0]}.0",
            lambda n: f"{n[0]:,}",
            lambda n: f"x = {n[0]}",
            lambda n: rf"\frac{{{3 * n[0]}}}{{3}}",
            lambda n: rf"{n[0]}\text{{ units}}",
            lambda n: rf"\text{{{n[0]}}}",
            lambda n: f"{n[0]}.",
        ),
    ),
    "fraction": Form(
        _draw(_ANY, _SMALL),
        lambda n: Fraction(*n),
        (
            lambda n: rf"\frac{{{n[0]}}}{{{n[1]}}}",
            lambda n: f"{n[0]}/{n[1]}",
            lambda n: rf"\dfrac{{{2 * n[0]}}}{{{2 * n[1]}}}",
            lambda n: rf"{n[0]} \div {n[1]}",
            lambda n: rf"{n[0]}\cdot\frac1{{{n[1]}}}",
        ),
    ),
    "root": Form(
        _draw(_SMALL, _PRIME),
        lambda n: n,
        (
            lambda n: rf"{n[0]}\sqrt{{{n[1]}}}",
            lambda n: rf"\sqrt{{{n[0] ** 2 * n[1]}}}",
            lambda n: f"{n[0]}*sqrt({n[1]})",
            lambda n: rf"\sqrt{{{n[1]}}} \cdot {n[0]}",
            lambda n: rf"\frac{{{n[0] * n[1]}}}{{\sqrt{{{n[1]}}}}}",
        ),
    ),
    "logarithm": Form(
        _draw(_SMALL, _PRIME),
        lambda n: n,
        (lambda n: rf"{n[0]}\ln {n[1]}", lambda n: rf"{n[0]} \ln({n[1]})", lambda n: rf"\ln {n[1]} \times {n[0]}"),
    ),
    "circle": Form(
        _draw(_SMALL, _SMALL),
        lambda n: Fraction(*n),
        (
            lambda n: rf"\frac{{{n[0]}\pi}}{{{n[1]}}}",
            lambda n: rf"\frac{{{n[0]}}}{{{n[1]}}}\pi",
            lambda n: f"{n[0]}π/{n[1]}",
        ),
    ),
    "complex": Form(
        _draw(_ANY, _NATURAL),
        lambda n: n,
        (lambda n: f"{n[0]}+{n[1]}i", lambda n: f"{n[1]}i {_signed(n[0])}", lambda n: f"z = {n[0]} + {n[1]}i"),
    ),
    "pair": Form(
        _TWO,
        lambda n: n,
        (
            lambda n: f"({n[0]},{n[1]})",
            lambda n: rf"\left({n[0]}, {n[1]}\right)",
            lambda n: f"(x,y) = ({n[0]}, {n[1]})",
            lambda n: rf"\langle {n[0]}, {n[1]} \rangle",
        ),
    ),
    "set": Form(_TWO, frozenset, (lambda n: rf"\{{{n[0]}, {n[1]}\}}", lambda n: rf"\left\{{{n[1]},{n[0]}\right\}}")),
    "list": Form(
        _TWO.filter(lambda n: n[0] != n[1]),
        frozenset,
        (
            lambda n: f"{n[0]}, {n[1]}",
            lambda n: rf"{n[1]} \text{{ and }} {n[0]}",
            lambda n: rf"x = {n[0]} \text{{ or }} x = {n[1]}",
            lambda n: f"{n[0]}\n\n{n[1]}",
        ),
    ),
    "interval": Form(
        _draw(_ANY, _NATURAL),
        lambda n: n,
        (
            lambda n: f"[{n[0]},{n[0] + n[1]})",
            lambda n: rf"{n[0]} \le x < {n[0] + n[1]}",
            lambda n: rf"x \in [{n[0]}, {n[0] + n[1]})",
        ),
    ),
    "matrix": Form(
        st.tuples(*[_ANY] * 4),
        lambda n: n,
        (
            lambda n: rf"\begin{{pmatrix}}{n[0]}&{n[1]}\\{n[2]}&{n[3]}\end{{pmatrix}}",
            lambda n: rf"\begin{{bmatrix}} {n[0]} & {n[1]} \\ {n[2]} & {n[3]} \end{{bmatrix}}",
            lambda n: f"[[{n[0]},{n[1]}],[{n[2]},{n[3]}]]",
        ),
    ),
    "polynomial": Form(
        _TWO,
        lambda n: n,
        (
            lambda n: f"x^2{_signed(n[0], 'x')}{_signed(n[1])}",
            lambda n: f"{n[1]}{_signed(n[0], 'x')}+x^{{2}}",
            lambda n: f"x(x{_signed(n[0])}){_signed(n[1])}",
        ),
    ),
    "line": Form(
        _draw(_NATURAL, _ANY),
        lambda n: n,
        (
            lambda n: f"y = {n[0]}x{_signed(n[1])}",
            lambda n: f"y - {n[0]}x = {n[1]}",
            lambda n: f"2y = {2 * n[0]}x{_signed(2 * n[1])}",
        ),
    ),
    "measure": Form(
        _draw(_NATURAL),
        lambda n: n,
        (
            lambda n: rf"{n[0]}\text{{ m}}",
            lambda n: rf"{100 * n[0]} \text{{ cm}}",
            lambda n: f"{n[0]} meters",
            lambda n: rf"{n[0] * 1000}\,\mathrm{{mm}}",
        ),
    ),
    "money": Form(
        _draw(_NATURAL),
        lambda n: n,
        (lambda n: rf"\${n[0]}", lambda n: f"{n[0]} dollars", lambda n: f"{100 * n[0]} cents"),
    ),
    "percentage": Form(
        _draw(_NATURAL), lambda n: n, (lambda n: rf"{n[0]}\%", lambda n: f"{n[0]} percent", lambda n: f"{n[0]}%")
    ),
    "time": Form(
        _draw(st.integers(1, 12), st.integers(10, 59)),
        lambda n: n,
        (lambda n: f"{n[0]}:{n[1]}", lambda n: rf"{n[0]}:{n[1]} \text{{ p.m.}}"),
    ),
}

WRAPPINGS: tuple[Callable[[str], str], ...] = (
    lambda text: f"  {text} ",
    lambda text: f"${text}$",
    lambda text: rf"\displaystyle {text}",
    lambda text: f"\u200b{text}\u2060",
    lambda text: rf"\[{text}\]",
    lambda text: rf"{text}\,",
    lambda text: f"{text}\n",
)
"""Layout that must not change a verdict."""


@st.composite
def meanings(draw: st.DrawFn) -> Meaning:
    """An answer of any form."""
    form = draw(st.sampled_from(sorted(FORMS)))
    return Meaning(form, draw(FORMS[form].numbers))


@st.composite
def different(draw: st.DrawFn) -> tuple[Meaning, Meaning]:
    """Two different answers of one form: often they differ in one number alone, by one or a
    digit.
    """
    first = draw(meanings())
    form = FORMS[first.form]
    position = draw(st.integers(0, len(first.numbers) - 1))
    number = first.numbers[position]
    changed = draw(st.sampled_from([number + 1, number * 10, -number, number // 10, number + 100]))
    numbers = (*first.numbers[:position], changed, *first.numbers[position + 1 :])
    second = Meaning(first.form, numbers)
    if not _allowed(first.form, numbers) or second.identity == first.identity:
        second = Meaning(first.form, draw(form.numbers))
    return first, second


def _allowed(form: str, numbers: Numbers) -> bool:
    if form in ("root", "logarithm"):
        return numbers[0] > 0 and numbers[1] in PRIMES
    if form in ("integer", "pair", "set", "list", "matrix", "polynomial"):
        return True
    if form == "time":
        return 1 <= numbers[0] <= 12 and 10 <= numbers[1] <= 59
    return all(number > 0 for number in numbers[-2:]) and (form != "list" or len(set(numbers)) > 1)
