r"""What is judged in the service's own process: sizes that are refused before the work is done."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from services.verifier.judgement import arithmetic, formula_values
from services.verifier.judgement.arithmetic import MAXIMUM_BITS, OutOfRange
from services.verifier.judgement.math_answer import judge, judge_cheaply

PRIMES = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83]
LONG = {
    "unit fractions": "+".join(rf"\frac{{1}}{{{p}^{{{14000 // p.bit_length()}}}}}" for p in PRIMES),
    "many unit fractions": "+".join(f"1/{k}" for k in range(10001, 10200)),
    "fractions of long numbers": "+".join(f"1/{'9' * 300}{k}" for k in range(6)),
    "factorials below": "+".join(f"1/{1000 + k}!" for k in range(190)),
    "products": "*".join(f"(1+1/{p}^{{99}})" for p in PRIMES * 3),
    "powers of sums": "+".join(f"(1/{p}+1/7)^{{400}}" for p in PRIMES * 2),
    "nested radicals": r"\sqrt{2+" * 38 + "2" + "}" * 38,
    "nested fractions": r"\frac{1}{1+" * 38 + "2" + "}" * 38,
    "nested powers": "(" * 20 + "1+1/3" + ")^{9}" * 20,
    "a set of sums": r"\{" + ",".join(f"1/{p}^{{99}}+1/{p + 1}^{{98}}" for p in PRIMES) + r"\}",
    "a chain of sums": "=".join(f"1/{p}^{{900}}+1/{p + 1}^{{900}}" for p in PRIMES),
    "long decimals": "+".join(f"0.{10**20 + k}" for k in range(80)),
}


class Counted:
    """Counts the operations on exact numbers and holds the size of every result."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.operations, self.largest = 0, 0
        for name in "add", "multiply", "divide", "power":
            operation = getattr(arithmetic, name)
            monkeypatch.setattr(arithmetic, name, self._counted(operation))
            if name in formula_values._OPERATIONS:
                monkeypatch.setitem(formula_values._OPERATIONS, name, self._counted(operation))

    def _counted(self, operation: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            result = operation(*arguments)
            self.operations += 1
            if isinstance(result, Fraction):
                self.largest = max(self.largest, arithmetic.bits(result))
            return result

        return counted


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("reference", ["7", "7/3", r"\sqrt{3}", "x+y", r"\{1,2\}"])
def test_no_long_formula_makes_large_numbers_or_much_work(
    name: str, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    formula_values._constant.cache_clear()
    counted = Counted(monkeypatch)
    judge_cheaply(rf"\boxed{{{LONG[name]}}}", reference)
    assert counted.largest <= MAXIMUM_BITS + 64
    assert counted.operations <= 5_000


def test_a_sum_of_fractions_is_refused_by_size_before_it_is_made() -> None:
    first, second = Fraction(1, 3**7000), Fraction(1, 5**7000)
    with pytest.raises(OutOfRange, match="sum"):
        arithmetic.add(first, second)
    large = Fraction(2**15_000)
    assert arithmetic.add(large, large) == 2**15_001
    assert arithmetic.add(Fraction(1, 3**900), Fraction(2)) == 2 + Fraction(1, 3**900)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (r"\frac{1}{1998!}", r"\frac{1}{1999!}"),
        ("10^{-9999}", "10^{-9998}"),
        (r"\pi^{-2000}", "0"),
        ("e^{-1000}", "e^{-2000}"),
        ("0", r"10^{-400}\pi"),
        (r"e^{-800}\cdot e^{-800}", "0"),
        ("0", "2^{-1080.5}"),
    ],
)
def test_numbers_too_small_for_a_float_are_not_equal(reference: str, answer: str) -> None:
    judgement = judge_cheaply(rf"\boxed{{{answer}}}", reference)
    assert judgement is None or judgement.outcome != "correct"


@pytest.mark.parametrize(
    ("reference", "answer", "same"),
    [
        ("1-e^{-40}", "1", False),
        ("2+e^{-30}", "2", False),
        (r"\sqrt{2}+10^{-15}", r"\sqrt{2}", False),
        ("1-e^{-40}", r"1-\frac{1}{e^{40}}", True),
        (r"\frac{1}{1998!}", r"\frac{1}{1999!}", False),
        (r"\frac{1}{2000!}", r"\frac{1}{2000\cdot 1999!}", True),
        ("10^{-9999}", "10^{-9998}", False),
        ("10^{-9999}", r"\frac{1}{10^{9999}}", True),
        ("e^{-1000}", r"\frac{1}{e^{1000}}", True),
    ],
)
def test_nearly_equal_and_tiny_constants_are_told_apart(reference: str, answer: str, same: bool) -> None:
    assert (judge(rf"\boxed{{{answer}}}", reference).outcome == "correct") is same


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (r"\mathbb{R}\setminus\{1\}", r"x \ne 10^{400}"),
        (r"\sqrt{2}", "10^{400} = 10^{401}"),
        (r"\frac{3^{9999}+1}{3^{9999}}\sqrt{2}", r"\sqrt{2}"),
        ("1", r"e^{-900} \approx 0"),
    ],
)
def test_numbers_beyond_floats_break_no_judgement(reference: str, answer: str) -> None:
    judge_cheaply(rf"\boxed{{{answer}}}", reference)
    judge_cheaply(rf"\boxed{{{reference}}}", answer)
