r"""Reading the final answer of a chain response."""

from __future__ import annotations

import re

_BOXED_INTEGER = re.compile(r"\\boxed\{(-?\d+)\}")


def boxed_integer(response: str) -> int | None:
    r"""The integer in the last ``\boxed{...}``, or ``None`` when there is none.

    Used by the warm-up to measure its own checkpoint; the platform's judgement is the verifier's.
    """
    boxed = _BOXED_INTEGER.findall(response)
    return int(boxed[-1]) if boxed else None
