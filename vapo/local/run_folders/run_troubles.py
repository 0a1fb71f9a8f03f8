"""What goes wrong in a run without anything dying, as seen by whoever keeps its parts.

Invariants:
- looking changes nothing; a Redis or a part that does not answer is itself a trouble, never an
  error;
- a trouble is told once it has lasted, again when its text changes, at most once a minute, and
  otherwise now and then; its end is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from redis.exceptions import RedisError

from vapo.ledger import Ledger
from vapo.ledger.trouble import explain
from vapo.local.supervision.readiness import Awaited, not_ready_because
from vapo.service.http_clients import http_client
from vapo.settings import Settings

LOOK_SECONDS = 5.0
HTTP_SECONDS = 2.0
LAST_LOOK_SECONDS = 5.0
AT_ONCE = 0.0
UNREADY_SECONDS = 30.0
"""Weights are loaded in less; what is not ready for longer is stuck."""
STILL_SECONDS = 600.0
LEAST_DROPPED = 32
BETWEEN_CHANGES_SECONDS = 60.0
BETWEEN_REPEATS_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class RunTrouble:
    """Something that is wrong now."""

    subject: str
    text: str
    patience_seconds: float
    """It may last so long before it is worth a line."""
    key: str = ""
    """While this stays, it is the same trouble, whatever its text."""


@dataclass(slots=True)
class _Noted:
    key: str
    since: float
    told: str = ""
    told_at: float = 0.0


@dataclass(slots=True)
class Teller:
    """Which troubles are worth a line now. Pure: times in, lines out."""

    _noted: dict[str, _Noted] = field(default_factory=dict)

    def lines(self, troubles: Iterable[RunTrouble], now: float) -> Iterator[str]:
        """The lines to print, given all that is wrong at time `now`."""
        present = {trouble.subject: trouble for trouble in troubles}
        for subject in [subject for subject in self._noted if subject not in present]:
            if self._noted.pop(subject).told:
                yield f"{subject}: well again"
        for trouble in present.values():
            if self._is_due(trouble, now):
                yield f"{trouble.subject}: {trouble.text}"

    def _is_due(self, trouble: RunTrouble, now: float) -> bool:
        noted = self._noted.setdefault(trouble.subject, _Noted(trouble.key, now))
        if noted.key != trouble.key:
            noted.key, noted.since = trouble.key, now
        pause = BETWEEN_REPEATS_SECONDS if noted.told == trouble.text else BETWEEN_CHANGES_SECONDS
        lasted = now - noted.since >= trouble.patience_seconds
        if not lasted or (noted.told and now - noted.told_at < pause):
            return False
        noted.told, noted.told_at = trouble.text, now
        return True


class TroubleWatch:
    """Looks at one run's parts and ledger."""

    def __init__(self, ledger: Ledger, parts: Mapping[str, Awaited], runs: Callable[[str], bool]) -> None:
        """`ledger` should have little patience; `runs` says whether a part's process does."""
        self._ledger, self._parts, self._runs = ledger, parts, runs
        self._trained = ledger_counters(ledger)
        """Totals when a rollout was trained on last."""

    def troubles(self, http: httpx.Client) -> list[RunTrouble]:
        """All that is wrong now."""
        found = list(self._unready(http))
        try:
            for look in (self._dead_letters, self._refusing, self._standing, self._dropping):
                found += look()
        except RedisError as error:
            found.append(RunTrouble("queues", explain(error), UNREADY_SECONDS))
        return found

    def _unready(self, http: httpx.Client) -> Iterator[RunTrouble]:
        for name, part in self._parts.items():
            reason = not_ready_because(http, part.url) if self._runs(name) else ""
            if reason:
                yield RunTrouble(name, f"is not ready: {reason}", UNREADY_SECONDS)

    def _dead_letters(self) -> Iterator[RunTrouble]:
        newest = self._ledger.dead_letters.list(1)
        if newest:
            count, one = self._ledger.depths()["dead"], newest[0]
            reason = " ".join(one.reason.split())
            what = "task or rollout" if count == 1 else "tasks or rollouts"
            text = f"{count} {what} failed for good, at last {one.id} ({one.stage}): {reason}"
            yield RunTrouble("dead letters", text, AT_ONCE)

    def _refusing(self) -> Iterator[RunTrouble]:
        """Generators that answer under old weights, since they refuse all newer ones."""
        for member in self._ledger.fleet.members("generator"):
            reason = member.details.get("reason")
            if member.state == "READY" and reason:
                text = f"stays at weights version {member.weight_version}: {reason}"
                yield RunTrouble(member.name, text, UNREADY_SECONDS)

    def _standing(self) -> Iterator[RunTrouble]:
        """Work waits, and nothing moves."""
        depths, counters = self._ledger.depths(), ledger_counters(self._ledger)
        waiting = {name: number for name, number in depths.items() if number and name not in ("dead", "scored_leased")}
        if waiting and self._runs("trainer") and not self._ledger.control.paused:
            shown = ", ".join(f"{name} {number}" for name, number in waiting.items())
            text = (
                f"nothing has moved for {STILL_SECONDS / 60:.0f} min though work waits "
                f"({shown}; a step takes {self._ledger.settings.rollouts_per_step} rollouts)"
            )
            yield RunTrouble("the run", text, STILL_SECONDS, key=repr(sorted(counters.items())))

    def _dropping(self) -> Iterator[RunTrouble]:
        """Rollouts are dropped, and none is trained on."""
        counters = ledger_counters(self._ledger)
        if counters.get("trained") != self._trained.get("trained"):
            self._trained = counters
        lost = {
            name.partition(":")[2]: number - self._trained.get(name, 0)
            for name, number in counters.items()
            if name.startswith("dropped:")
        }
        made = counters.get("generated", 0) - self._trained.get("generated", 0)
        if sum(lost.values()) >= max(LEAST_DROPPED, made / 2):
            shown = ", ".join(f"{reason} {number}" for reason, number in lost.items() if number)
            text = f"most rollouts since the last one that was trained on were dropped: {shown}"
            yield RunTrouble("rollouts", text, AT_ONCE)


@contextmanager
def troubles_told(
    settings: Settings, parts: Mapping[str, Awaited], runs: Callable[[str], bool], report: Callable[[str], None]
) -> Iterator[None]:
    """Within the context, tell in one line each what goes wrong in the run; from a thread."""
    ended = threading.Event()
    work = (settings, parts, runs, report, ended)
    thread = threading.Thread(target=_tell, args=work, daemon=True, name="troubles")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LAST_LOOK_SECONDS)


def _tell(
    settings: Settings,
    parts: Mapping[str, Awaited],
    runs: Callable[[str], bool],
    report: Callable[[str], None],
    ended: threading.Event,
) -> None:
    ledger, teller = _opened(settings, ended), Teller()
    if ledger is None:
        return
    watch = TroubleWatch(ledger, parts, runs)
    with http_client(timeout=HTTP_SECONDS) as http:
        while not ended.wait(LOOK_SECONDS):
            for line in teller.lines(watch.troubles(http), time.monotonic()):
                report(line)
    ledger.redis.close()


def _opened(settings: Settings, ended: threading.Event) -> Ledger | None:
    while True:
        try:
            return Ledger.open(settings, patience_seconds=0.0)
        except RedisError:  # its parts wait, too, and say so
            if ended.wait(LOOK_SECONDS):
                return None


def ledger_counters(ledger: Ledger) -> dict[str, int]:
    """The run's totals, or none when Redis does not answer."""
    try:
        return ledger.counters()
    except RedisError:
        return {}
