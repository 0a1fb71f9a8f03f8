"""Answers that try to hang, exhaust or mislead the verifier."""

from __future__ import annotations

from collections.abc import Iterator


def hostile_answers() -> Iterator[tuple[str, str]]:
    """(name, response); none of them answers anything."""
    for name, answer in _BOXED.items():
        yield name, rf"\boxed{{{answer}}}"
    yield "a million braces", "{" * 10**6
    yield "a million nested boxes", r"\boxed{" * 10**5 + "}" * 10**5
    yield "ten megabytes", r"\boxed{" + "x+" * 5_000_000 + "x}"
    yield "an open box and ten megabytes", r"\boxed{" + "9" * 10_000_000
    yield "invalid UTF-8", b"\\boxed{\xff\xfe\x80}".decode("utf-8", "surrogateescape")
    yield "a million dollar signs", "$" * 10**6
    yield "a million answers", "answer is " * 10**5
    yield "unending thinking", "<think>" + r"\boxed{5}" * 1000


_BOXED = {
    "a tower of powers": "9^{9^{9^{9^9}}}",
    "a short tower": "9^{9^9}",
    "a tower in brackets": "((9^{99999})^{99999})^{99999}",
    "a huge factorial": "999999999!",
    "factorials of factorials": "((9!)!)!",
    "a huge binomial": r"\binom{9999999}{99999}",
    "a long sum": r"\sum_{k=1}^{99999999} \frac{1}{k^3}",
    "a long product": r"\prod_{k=1}^{9999999} k",
    "an integral without a closed form": r"\int_0^{\pi} \sin(x^5) e^{x^7} dx",
    "a power of a sum": "(a+b+c+d+e+f)^{300}",
    "many roots": r"\sqrt{" * 35 + "2" + "}" * 35,
    "many fractions": r"\frac{1}{" * 35 + "x" + "}" * 35,
    "a deep fraction": r"\frac{1}{" * 500 + "x" + "}" * 500,
    "many brackets": "(" * 900 + "1" + ")" * 900,
    "many signs": "-" * 1900 + "1",
    "a large matrix": r"\begin{pmatrix}" + r"1 & 2 \\ " * 900 + r"\end{pmatrix}",
    "a power of a matrix": r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{99999}",
    "a long polynomial": "+".join(f"x^{{{k}}}" for k in range(200)),
    "an equation of high degree": "x^{17} - 3x^{11} + 5x^7 - x + 1 = 0",
    "nested logarithms": r"\log_{" * 20 + "2" + "}" * 20 + "3",
    "invisible characters": "\u200b\u200e\u202e\ufeff5\u2066\u2069",
    "right to left": "\u202e\u0661\u0662",
    "control characters": "\x00\x01\x1b[2J5\x7f",
    "combining characters": "5" + "\u0301" * 1000,
    "code": "__import__('os').system('touch hacked')",
    "attribute access": "().__class__.__bases__[0].__subclasses__()",
    "sympy's own names": "Integer.__class__(S)(1)",
    "a lambda": "(lambda: 5)()",
    "an empty group": "{}{}{}{}{}",
    "unbalanced": r"\frac{1}{2",
    "all commands": r"\begin{cases}\end{cases}\left.\right.\over\atop\choose",
    "not a number": "nan",
    "infinity": r"\infty - \infty",
    "a division by zero": r"\frac{1}{0}",
    "zero to the zero": "0^0",
    "many unknowns": "+".join(f"x_{{{k}}}" for k in range(150)),
    "a modulus": r"7^{10^{10}} \pmod{13}",
    "spread digits": " ".join("7" * 300),
}
