"""Switches people turn while a run goes on, and facts all parts must agree on."""

from __future__ import annotations

from pathlib import Path

from vapo.ledger.connection import RedisClient
from vapo.ledger.keys import Field, Key, Keys
from vapo.startup import StartupError


class DisagreementError(StartupError):
    """This part was started with another model or tokenizer than the run."""


class Control:
    """Pause, stop, and the run's identity."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis, self._key, self._run = redis, keys.named(Key.CONTROL), keys.named(Key.RUN)

    def pause(self) -> None:
        """Stop admitting training tasks; what is admitted is finished."""
        self._redis.hset(self._key, Field.PAUSED, "1")

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self._redis.hset(self._key, Field.PAUSED, "0")

    @property
    def paused(self) -> bool:
        """Whether training is paused."""
        return self._redis.hget(self._key, Field.PAUSED) == b"1"

    def stop(self) -> None:
        """Ask the trainer to checkpoint and end the run."""
        self._redis.hset(self._key, Field.STOP, "1")

    def clear_stop(self) -> None:
        """Forget an earlier stop, when a run is started again."""
        self._redis.hdel(self._key, Field.STOP)

    @property
    def stop_requested(self) -> bool:
        """Whether someone asked the run to end."""
        return self._redis.hget(self._key, Field.STOP) == b"1"

    def agree(self, fact: str, value: str, source: Path | None = None) -> None:
        """The first part to state a fact (``tokenizer``...) fixes it; the rest must agree.

        Args:
            source: the folder it was read from, for the text of a disagreement.

        Raises:
            DisagreementError: another part stated another value.
        """
        origin = f"{fact}_source"
        if self._redis.hsetnx(self._run, fact, value) and source is not None:
            self._redis.hset(self._run, origin, str(source.absolute()))
        stated, first = (
            field.decode() if field is not None else None for field in self._redis.hmget(self._run, [fact, origin])
        )
        if stated != value:
            here = source.absolute() if source else repr(value)
            raise DisagreementError(
                f"the {fact} of {here} differs from the run's, which is that of "
                f"{first or repr(stated)}; start this part with the run's model folder "
                "(model.path), or use another run.name"
            )
