"""A time limit that the worker process sets itself, so that it need not be killed.

Invariant: work in Python is interrupted by :class:`OutOfTime`, which is no ``Exception`` and so
passes the handlers of libraries. Work in C is not: for that the pool's hard limit stays.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

_REPEAT_SECONDS = 0.2
"""A library that swallows the first interruption is interrupted again."""
_Result = TypeVar("_Result")


class OutOfTime(BaseException):
    """The work took too long."""


def limited(seconds: float, work: Callable[[], _Result]) -> _Result:
    """``work()``, interrupted after ``seconds``. Main thread only.

    Raises:
        OutOfTime: it took longer.
    """
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT_SECONDS)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise OutOfTime
