"""Method chains: sums worked out line by line, where every line must choose how to work.

A problem gives labelled digits, ``a3b8c4=``. Its response adds them up modulo 10, one line for
each digit: the label, the digit, a *method* (a capital letter), written-out working, the running
sum. The end repeats the last sum::

    a3P03:3;b8R38383838:1;c4Q1414:5;=5

Each digit has one right method. With it the line's sum is right; with another it is off by one with
probability ``TaskShape.slip``, and the mistake is carried along faithfully. Only the final sum is
judged. So a response is a chain of choices, all of which must be right, with one verdict at its
end, and working that puts distance between a choice and its outcome.

Invariants: the text of a problem determines it; a demonstration that uses right methods alone is
right; nothing here imports torch.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_lowercase

from vapo.demo.chain.splits import Split, split_of

METHODS = "PQRS"
MODULUS = 10
_FINAL = re.compile(r";=(\d)")


@dataclass(frozen=True)
class TaskShape:
    """Difficulty and length of method chains."""

    terms: tuple[int, ...] = (8,)
    """Digits of a problem; grades take turns."""
    working: tuple[int, ...] = (1, 1, 1)
    """How often each method writes its operands out: its length. One number per method."""
    slip: float = 0.5
    """Probability that a line worked with a wrong method is off by one."""
    right_method: float = 1 / 3
    """Probability that a demonstration chooses the right method."""

    def __post_init__(self) -> None:
        if not 2 <= len(self.working) <= len(METHODS):
            raise ValueError(
                f"working={self.working} has {len(self.working)} methods; give 2 to {len(METHODS)} numbers"
            )
        if not all(1 <= terms <= len(ascii_lowercase) for terms in self.terms):
            raise ValueError(f"terms={self.terms}; each must be 1 to {len(ascii_lowercase)}")

    @property
    def methods(self) -> str:
        """The capital letters in use."""
        return METHODS[: len(self.working)]

    @property
    def words(self) -> str:
        """For people who read the results."""
        lines, working = ("/".join(map(str, numbers)) for numbers in (self.terms, sorted(set(self.working))))
        return f"method chains of {lines} lines, working x{working}, wrong methods slip in {self.slip:g} of their lines"

    def prompts(self, split: Split, seed: int) -> Iterator[str]:
        """:func:`problem_stream` of this shape."""
        return problem_stream(split, seed, self)

    def is_correct(self, prompt: str, response: str) -> bool:
        """:func:`is_correct`."""
        return is_correct(prompt, response)


def right_method(digit: int, shape: TaskShape) -> str:
    """The method that works for ``digit``."""
    return shape.methods[digit % len(shape.methods)]


def problem_text(digits: tuple[int, ...]) -> str:
    """``a3b8c4=`` for (3, 8, 4)."""
    return "".join(f"{label}{digit}" for label, digit in zip(ascii_lowercase, digits, strict=False)) + "="


def answer(prompt: str) -> int:
    """The right final sum of a problem."""
    return sum(int(digit) for digit in re.findall(r"\d", prompt)) % MODULUS


def is_correct(prompt: str, response: str) -> bool:
    """Whether the response's final sum is the problem's."""
    final = _FINAL.search(response)
    return final is not None and int(final.group(1)) == answer(prompt)


def demonstrate(prompt: str, shape: TaskShape, generator: random.Random) -> str:
    """A worked response whose methods are chosen at random."""
    total, lines = 0, []
    for label, digit in re.findall(r"([a-z])(\d)", prompt):
        line, total = _line(label, int(digit), total, shape, generator)
        lines.append(line)
    return "".join(lines) + f"={total}"


def _line(label: str, digit: int, total: int, shape: TaskShape, generator: random.Random) -> tuple[str, int]:
    right = right_method(digit, shape)
    wrong = [method for method in shape.methods if method != right]
    method = right if generator.random() < shape.right_method else generator.choice(wrong)
    slipped = method != right and generator.random() < shape.slip
    after = (total + digit + slipped) % MODULUS
    working = f"{total}{digit}" * shape.working[shape.methods.index(method)]
    return f"{label}{digit}{method}{working}:{after};", after


def response_length(terms: int, working: int) -> int:
    """Tokens of a worked response of ``terms`` lines, each with its operands ``working`` times,
    the end token included."""
    return terms * (len("a3P:3;") + working * len("03")) + len("=3") + 1


def problem_stream(split: Split, seed: int, shape: TaskShape) -> Iterator[str]:
    """Prompts of ``split`` without end, the grades taking turns; the same for the same seed."""
    generator = random.Random(f"method-chain/{split}/{seed}")
    while True:
        for terms in shape.terms:
            yield _draw(generator, terms, split)


def _draw(generator: random.Random, terms: int, split: Split) -> str:
    while True:
        prompt = problem_text(tuple(generator.randrange(MODULUS) for _ in range(terms)))
        if split_of(prompt) is split:
            return prompt
