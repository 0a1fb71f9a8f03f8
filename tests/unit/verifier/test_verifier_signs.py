r"""Signs that no reader of formulas knows: never passed over, the same in every way of writing."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.verifier.judgement.math_answer import judge
from services.verifier.judgement.uninterpreted_signs import same_signs
from services.verifier.judgement.verdicts import Outcome

OPERATORS = (
    r"\land",
    r"\lor",
    r"\implies",
    r"\iff",
    r"\oplus",
    r"\otimes",
    r"\subset",
    r"\subseteq",
    r"\supset",
    r"\notin",
    r"\nmid",
    r"\parallel",
    r"\perp",
    r"\cong",
    r"\sim",
    r"\equiv",
    "=",
    r"\circ",
    r"\star",
    r"\cup",
    r"\cap",
    r"\setminus",
    r"\uplus",
    r"\ll",
)
MARKS = (
    r"\neg {0}",
    r"\exists {0}",
    r"\forall {0}",
    r"\vec{{{0}}}",
    r"\hat{{{0}}}",
    r"\dot{{{0}}}",
    r"\bar{{{0}}}",
    r"\nabla {0}",
    r"\partial {0}",
    r"\unknown {0}",
    r"\wp {0}",
    "{0}'",
    "{0}''",
    r"{0}^\prime",
    r"{0}^*",
    r"{0}^\dagger",
    r"{0}^+",
    r"\cancel{{{0}}}",
    r"\aleph_{0}",
    r"\overset{{a}}{{{0}}}",
    r"\odot {0}",
    r"\langle {0} \rangle",
    r"\Re {0}",
)
DIFFERENT = (
    (r"\angle ABC", r"\angle ACB"),
    (r"\triangle ABC", r"\triangle ABD"),
    (r"\angle ABC", r"\triangle ABC"),
    (r"\angle ABC = \angle ACB", r"\angle ABC = \angle BAC"),
    (r"\overrightarrow{AB}", r"\overrightarrow{BA}"),
    (r"\vec{a} \cdot \vec{b}", r"\vec{a} \times \vec{b}"),
    (r"\triangle ABC \cong \triangle DEF", r"\triangle ABC \cong \triangle EDF"),
    (r"\frac{dy}{dx}", r"\frac{y}{x}"),
    ("f'(x)", "f(x)"),
    ("y''+y=0", "y'+y=0"),
    ("f^{-1}(x)", r"\frac{1}{f(x)}"),
    ("f^{(2)}(x)", "f^2(x)"),
    ("A^{-1}B", "BA^{-1}"),
    (r"\nabla \cdot F", r"\nabla \times F"),
    ("A^TB", "BA^T"),
    ("CO", "Co"),
    (r"\begin{Vmatrix}1&2\\3&4\end{Vmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    (r"\frac{\partial f}{\partial x}", r"\frac{\partial f}{\partial y}"),
    ("1:2:3", "1:3:2"),
    ("3:4", "0.75:1:1"),
    (r"\{1,\{2\}\}", r"\{1,2\}"),
    (r"\{\{1\}\}", r"\{1\}"),
    ("1,1,2", "1,2"),
    ("12", r"12 \text{ (not 12)}"),
    ("12", r"12 \text{ times 2}"),
    ("12", "12 short"),
    (r"x<1 \text{ or } x>3", r"x<1 \text{ and } x>3"),
    (r"\{2k : k \in \mathbb{Z}\}", r"\{2k+1 : k \in \mathbb{Z}\}"),
    (r"x \in A", r"x \not\in A"),
    (r"\exists x \in \mathbb{R}, x^2<0", r"\forall x \in \mathbb{R}, x^2<0"),
    ("y^{(3)}", "y^3"),
    (r"\lim_{n\to\infty}a_n", r"\lim_{n\to0}a_n"),
    ("(3!)!", "3!!"),
    (r"A \text{ or } B", r"A \text{ and } B"),
    (r"5 \text{ left}", r"5 \text{ right}"),
    (r"x>1 \land x<3", r"x>1 \lor x<3"),
    ("p, q", r"p \lor q"),
)
SAME = (
    (r"p \rightarrow q", r"p \to q"),
    (r"p \Rightarrow q", r"p \implies q"),
    (r"\neg p", r"\lnot p"),
    (r"p \wedge q", r"q \land p"),
    (r"A \cap B", r"B \cap A"),
    (r"\angle ABC", r"\angle CBA"),
    (r"\angle ABC", "∠CBA"),
    (r"\triangle ABC", "△BCA"),
    (r"\overline{AB}", r"\overline{BA}"),
    (r"\triangle ABC \cong \triangle DEF", r"\triangle DEF \cong \triangle ABC"),
    (r"2\vec{a}+\vec{b}", r"\vec b + 2\vec a"),
    (r"f'(x)", r"f^{\prime}(x)"),
    (r"AB \perp CD", r"CD \perp AB"),
    (r"\alpha \| \beta", r"\alpha \parallel \beta"),
    (r"\overline{z}+1", r"1+\bar z"),
    (r"\lim_{x\to0}\frac{\sin x}{x}", "1"),
    (r"f^{-1}(x)=\frac{x-1}{2}", r"\frac{x-1}{2}"),
    (r"\|v\|", r"\lVert v \rVert"),
    ("3:4:5", "6:8:10"),
    ("1<x<3", r"x>1 \text{ and } x<3"),
    (r"x=1 \lor x=2", "1, 2"),
    ("3, 7", "3, 7, 3"),
    (r"|x| \in [0,1]", "[0,1]"),
    ("(1,2)", r"\thinspace (1,2) \tag{1}"),
    (r"\frac12", r"\nicefrac{1}{2}"),
    (r"[2,3] \cup \{5\}", r"\{5\} \bigcup [2,3]"),
    ("12", r"\therefore 12"),
    ("12", r"12 \checkmark"),
    (r"A \setminus B", r"A \backslash B"),
    ("12", r"12 \text{ (not 13)}"),
)


def accepted(reference: str, answer: str) -> bool:
    """Whether a boxed answer is judged correct."""
    return judge(rf"\boxed{{{answer}}}", reference).outcome is Outcome.CORRECT


@given(st.sampled_from([*permutations(OPERATORS, 2)]), st.sampled_from((("p", "q"), ("AB", "CD"))))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_another_operator_is_another_answer(pair: tuple[str, str], sides: tuple[str, str]) -> None:
    first, second = (f"{sides[0]} {operator} {sides[1]}" for operator in pair)
    assert accepted(first, f"{first} ")
    assert not accepted(first, second)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("inner", ["x", "7", "A"])
def test_a_mark_is_never_passed_over(mark: str, inner: str) -> None:
    marked = mark.format(inner)
    assert not accepted(inner, marked)
    assert not accepted(marked, inner)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different_meanings(first: str, second: str) -> None:
    assert not accepted(first, second)


@pytest.mark.parametrize(("first", "second"), SAME)
def test_ways_of_writing_one_meaning(first: str, second: str) -> None:
    assert accepted(first, second)


@given(st.lists(st.sampled_from("ABCPQ"), min_size=3, max_size=3, unique=True))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_an_angle_has_one_vertex_and_two_ends(points: list[str]) -> None:
    angle = r"\angle " + "".join(points)
    for other in permutations(points):
        same = other[1] == points[1]
        assert same_signs(angle, r"\angle " + "".join(other)) is same


def test_digits_are_not_joined() -> None:
    assert not same_signs("12", "1 2")
    assert not same_signs(r"\foo 12", r"\foo 1 2")
    assert same_signs(r"\foo 2^{3}", r"\foo 2^3")
