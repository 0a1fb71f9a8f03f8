"""The ledger's atomic moves, one Lua file each under ``lua/``.

Invariant: every change of a rollout's or task's state happens inside one of these scripts, which
checks the state it expects first. A second delivery therefore changes nothing.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from vapo.ledger.connection import RedisClient

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


class Scripts:
    """All scripts, registered on one connection; called by name."""

    def __init__(self, redis: RedisClient) -> None:
        folder = files("vapo.ledger") / "lua"
        self._scripts = {
            name: redis.register_script((folder / f"{name}.lua").read_text("utf-8"))
            for name in NAMES
        }

    def __call__(self, name: str, keys: list[str], args: list[Any]) -> Any:
        """Run script ``name`` atomically and return its reply."""
        return self._scripts[name](keys=keys, args=args)
