"""Types of command-line options: numbers with bounds, amounts such as 7B, paths with ``~``.

Invariant: what is out of bounds is refused by argparse, with status 2 and before anything starts.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

MULTIPLES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}


def whole(least: int) -> Callable[[str], int]:
    """The type of a whole number that is not below ``least``."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is below {least}")
        return number

    return read


def at_least(least: float) -> Callable[[str], float]:
    """The type of a finite number that is not below ``least``."""

    def read(text: str) -> float:
        number = _finite(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least:g}")
        return number

    return read


def above(bound: float) -> Callable[[str], float]:
    """The type of a finite number greater than ``bound``."""

    def read(text: str) -> float:
        number = _finite(text)
        if number <= bound:
            raise argparse.ArgumentTypeError(f"{text} is not above {bound:g}")
        return number

    return read


def amount(text: str) -> float:
    """A positive number as people write it: 7.6e9, 7B, 1.5b, 600M."""
    stripped = text.strip()
    unit = stripped[-1:].upper()
    digits = stripped[:-1] if unit in MULTIPLES else stripped
    try:
        number = float(digits) * MULTIPLES.get(unit, 1.0)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount; write 7.6e9, 7B or 600M")
    return number


def path(text: str) -> Path:
    """A path; ``~`` is the home folder, also where the shell left it in place."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r} names no home folder here") from None


def _finite(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return number
