"""The ledger's atomic moves, one Lua file each under ``lua/``.

Invariant: every change of a rollout's or task's state happens inside one of these scripts, which
checks the state it expects first. A second delivery therefore changes nothing.

Many moves travel in one pipeline, not in one script: each is still atomic by itself, a connection
that breaks half-way leaves whole moves behind, and Redis serves others between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from itertools import islice
from typing import Any

from redis.exceptions import NoScriptError

from vapo.ledger.connection import RedisClient

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
    folder = files("vapo.ledger") / "lua"
    parts = ["release", name] if name in RELEASING else [name]
    return "".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
