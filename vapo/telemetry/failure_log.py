"""Failures in a log that stays readable: each kind once with its traceback, then in one line.

Invariant: every failure is told; only the traceback of a kind that was told before is left out.
"""

from __future__ import annotations

import logging
import traceback


class FailureLog:
    """Remembers which kinds of failure one part has told. A kind is an error's type and the place
    that raised it, so there are no more kinds than lines of code.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._told: set[tuple[str, str, int | None]] = set()

    def tell(self, what: str, error: BaseException) -> None:
        """Log that ``what`` failed with ``error``."""
        kind = _kind(error)
        self._logger.error("%s failed: %s", what, reason_of(error), exc_info=None if kind in self._told else error)
        self._told.add(kind)


def reason_of(error: BaseException) -> str:
    """The error in one line, as a dead letter holds it; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _kind(error: BaseException) -> tuple[str, str, int | None]:
    frames = traceback.extract_tb(error.__traceback__)
    place = frames[-1] if frames else None
    return type(error).__qualname__, place.filename if place else "", place and place.lineno
