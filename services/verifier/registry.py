"""Verifiers by name: the built-in ones, and those that installed packages offer.

A package offers one through the entry point group ``vapo.verifiers``; the entry point is called
with the options of the service (a mapping) and returns a ``verdicts.Verifier``. A task chooses by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, cast

from services.verifier.exact_match import ExactMatch
from services.verifier.judgement import MathVerifier
from services.verifier.judgement.verdicts import Verifier
from vapo.startup import StartupError

ENTRY_POINT_GROUP = "vapo.verifiers"
MAKER = f"{__name__}:create"
"""What a worker process of the pool is told to make its verifiers with."""


class UnknownVerifier(StartupError, ValueError):
    """No verifier of that name is installed; the text lists those that are."""


BUILT_IN: dict[str, Callable[[tuple[str, ...]], Verifier]] = {"math": MathVerifier, "exact": ExactMatch}
"""Each is made from the extraction rules alone."""


def names() -> list[str]:
    """Every verifier that a task may name."""
    offered = (point.name for point in entry_points(group=ENTRY_POINT_GROUP))
    return sorted({*BUILT_IN, *offered})


def create(name: str, options: Mapping[str, Any]) -> Verifier:
    """The verifier ``name`` with ``options``.

    Raises:
        UnknownVerifier: there is none of that name.
    """
    if name in BUILT_IN:
        return BUILT_IN[name](tuple(options.get("rules", ("boxed",))))
    found = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if not found:
        raise UnknownVerifier(
            f"no verifier is named {name[:100]!r}; there are {', '.join(names())}. "
            f"Install a package with an entry point of that name in the group {ENTRY_POINT_GROUP}"
        )
    return cast(Verifier, found[0].load()(options))
