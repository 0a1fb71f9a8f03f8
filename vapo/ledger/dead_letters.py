"""Dead letters: ids that failed for good, with their reason, visible and revivable."""

from __future__ import annotations

from dataclasses import dataclass

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Key, Keys
from vapo.ledger.scripts import Scripts


class PayloadGone(RuntimeError):
    """A dead letter names a record that no longer exists."""


@dataclass(frozen=True)
class DeadLetter:
    """One failed task or rollout."""

    entry: str
    stage: str
    id: str
    samples: str
    reason: str
    at: float


class DeadLetters:
    """The dead-letter stream of a run."""

    def __init__(self, redis: RedisClient, keys: Keys, scripts: Scripts) -> None:
        self._redis, self._keys, self._scripts = redis, keys, scripts
        self._stream = keys.named(Key.DEAD_LETTERS)

    def list(self, count: int = 100) -> list[DeadLetter]:
        """The newest letters first."""
        return [_letter(entry, fields) for entry, fields in self._redis.xrevrange(self._stream, count=count)]

    def revive(self, entry: str) -> bool:
        """Put a letter back into the stream it died in. False when there is no such letter.

        Raises:
            PayloadGone: what it names was deleted; the letter stays.
        """
        reply = self._scripts("revive", [self._stream], [self._keys.prefix, entry])
        if reply == -1:
            raise PayloadGone(f"the payload of dead letter {entry} is gone; submit it again")
        return reply == 1


def _letter(entry: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    text = {name.decode(): value.decode() for name, value in fields.items()}
    return DeadLetter(entry.decode(), text["stage"], text["id"], text["samples"], text["reason"], float(text["at"]))
