"""The ledger's atomic moves, one Lua file each under ``lua/``.

Invariant: every change of a rollout's or task's state happens inside one of these scripts, which
checks the state it expects first. A second delivery therefore changes nothing.

Many moves travel in one pipeline, not in one script: each is still atomic by itself, a connection
that breaks half-way leaves whole moves behind, and Redis serves others between them.

A script writes names as Python does (``Key.BACKLOG``, ``Field.STATE``, ``After.TRAINED``), and each is
replaced by its text when the script is loaded; one that Python does not define is refused then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import islice
from typing import Any, get_args

from redis.exceptions import NoScriptError

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Field, Key, Stage, State, Total
from vapo.ledger.routes import Event, destinations
from vapo.messages import Purpose

MOVES_PER_PIPELINE = 64
"""Bounds what one round trip carries: about 10 MB where each move brings two arrays of 20k floats.
"""
RESTARTS_BORNE = 5
"""A Redis that starts again in the middle of a pipeline has forgotten the scripts."""

Move = tuple[list[str], list[Any]]
"""Keys and arguments of one script call."""

NAMES = (
    "submit_tasks",
    "lease_tasks",
    "record_generated",
    "finish_lease",
    "advance",
    "mark_trained",
    "acknowledge",
    "redeliver",
    "drop",
    "bury",
    "revive",
    "trim",
)

RELEASING = frozenset({"finish_lease", "advance", "drop", "bury"})
"""Moves that end a lease; ``release.lua`` is put before them."""
VOCABULARIES: dict[str, Mapping[str, str]] = {
    **{kind.__name__: {one.name: one.value for one in kind} for kind in (Stage, State)},
    **{
        kind.__name__: {name: text for name, text in vars(kind).items() if name.isupper()}
        for kind in (Field, Key, Total)
    },
    "Purpose": {purpose.upper(): purpose for purpose in get_args(Purpose)},
}
NAME = re.compile(rf"\b({'|'.join(VOCABULARIES)}|Before|After)\.([A-Z_]+)\b")


class Scripts:
    """All scripts, registered on one connection; called by name."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._scripts = {name: redis.register_script(_source(name)) for name in NAMES}

    def __call__(self, name: str, keys: list[str], args: list[Any]) -> Any:
        """Run script ``name`` atomically and return its reply."""
        return self._scripts[name](keys=keys, args=args)

    def many(self, name: str, moves: Iterable[Move]) -> list[Any]:
        """Run script ``name`` once for each of ``moves``, in order, in few round trips.

        Each call is atomic, all together are not. What was carried out before an error stays, and
        the whole may be sent again, as after any lost answer.

        Returns:
            One reply per move.
        """
        replies: list[Any] = []
        waiting = iter(moves)
        while some := list(islice(waiting, MOVES_PER_PIPELINE)):
            replies += self._pipeline(name, some)
        return replies

    def _pipeline(self, name: str, moves: Sequence[Move]) -> list[Any]:
        for _ in range(RESTARTS_BORNE if len(moves) > 1 else 0):
            try:
                with self._redis.pipeline(transaction=False) as pipe:
                    for keys, args in moves:
                        self._scripts[name](keys=keys, args=args, client=pipe)
                    return pipe.execute()
            except NoScriptError:
                continue
        return [self(name, keys, args) for keys, args in moves]


def _source(name: str) -> str:
    parts = ["release", name] if name in RELEASING else [name]
    return "".join(NAME.sub(lambda found: text_of(*found.groups()), read(part)) for part in parts)


def read(name: str) -> str:
    """One Lua file as it is written."""
    return (files("vapo.ledger") / "lua" / f"{name}.lua").read_text("utf-8")


def text_of(vocabulary: str, name: str) -> str:
    """What stands in a loaded script for ``vocabulary.name``: a word, or for an event that leads from
    several places to several a table of where to by where from.

    Raises:
        KeyError: Python has no such name.
        ValueError: where the event leads depends on more.
    """
    if vocabulary in VOCABULARIES:
        return f"'{VOCABULARIES[vocabulary][name]}'"
    routes = destinations(Event[name])
    places = set(routes if vocabulary == "Before" else routes.values())
    if len(places) == 1:
        return f"'{places.pop()}'"
    return "({" + ", ".join(f"['{at}'] = '{place}'" for at, place in routes.items()) + "})"
