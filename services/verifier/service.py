"""What the HTTP side and the queue side of the verifier share: the pool, the rules, the rewards.

Invariants:
- the cheap path answers in the calling thread; only what it cannot decide goes to a worker process;
- a format pattern is matched in a worker process alone, within its time limit: a pattern and a text
  can be made that match for ever. What is not matched in time is not well formed, and is counted.
"""

from __future__ import annotations

import time
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.verifier import registry
from services.verifier.judgement.verdicts import Judgement, Verifier
from services.verifier.pool import Pool
from services.verifier.reward import verdict
from vapo.messages import Verdict
from vapo.settings import VerifierSettings

BOX_REQUIRED = ("boxed",)
WITHOUT_BOX = ("boxed", "hashes", "answer_phrase", "last_value")
_SECONDS = (0.0001, 0.001, 0.01, 0.05, 0.2, 1.0, 5.0, 20.0)


class VerifierService:
    """Judges responses. Thread-safe."""

    def __init__(self, settings: VerifierSettings, metrics: CollectorRegistry) -> None:
        """Start the worker processes in the background.

        Raises:
            UnknownVerifier: the default is not installed.
        """
        self._rules = BOX_REQUIRED if settings.require_box else WITHOUT_BOX
        self._settings = settings
        self._pattern = settings.format_pattern if settings.format_reward else ""
        self._default = settings.default
        self._verifier = lru_cache(maxsize=64)(self._create)
        self._verifier(self._default)
        self.pool = Pool(settings, registry.MAKER)
        self._verdicts = Counter("vapo_verifier_verdicts", "Verdicts", ["verdict", "fault"], registry=metrics)
        self._unmatched = Counter(
            "vapo_verifier_format_timeouts",
            "Responses counted as not well formed: the pattern was not matched in time",
            registry=metrics,
        )
        self._seconds = Histogram(
            "vapo_verifier_judgement_seconds", "Time of one judgement", ["path"], registry=metrics, buckets=_SECONDS
        )

    def judge_cheaply(self, name: str, response: str, reference: str) -> Verdict | None:
        """The verdict if it needs no worker process, else None.

        Args:
            name: of the verifier; empty for the default.
            response: what the model wrote.
            reference: the task's answer.

        Raises:
            UnknownVerifier: no verifier is called ``name``.
        """
        started = time.perf_counter()
        verifier = self._verifier(name or self._default)
        if self._pattern:
            return None
        judgement = verifier.judge_cheaply(response, reference)
        if judgement is None:
            return None
        return self._verdict(judgement, False, "cheap", started)

    def judge_carefully(self, name: str, response: str, reference: str) -> Verdict:
        """The verdict of a worker process; arguments as for :meth:`judge_cheaply`.

        Raises:
            PoolError: no worker became free; the judgement may be tried again.
        """
        started = time.perf_counter()
        judgement = self._judge(name or self._default, response, reference)
        return self._verdict(judgement, self._is_well_formed(response), "careful", started)

    def close(self) -> None:
        """End the worker processes."""
        self.pool.close()

    def _judge(self, name: str, response: str, reference: str) -> Judgement:
        """With a format pattern nothing has been tried before the pool."""
        cheap = self._verifier(name).judge_cheaply(response, reference) if self._pattern else None
        return cheap or self.pool.judge(name, self._rules, response, reference)

    def _is_well_formed(self, response: str) -> bool:
        """Whether the response holds the pattern; what takes too long to match does not."""
        if not self._pattern:
            return False
        found = self.pool.search(self._pattern, response)
        if found is None:
            self._unmatched.inc()
        return bool(found)

    def _create(self, name: str) -> Verifier:
        return registry.create(name, {"rules": self._rules})

    def _verdict(self, judgement: Judgement, well_formed: bool, path: str, started: float) -> Verdict:
        self._seconds.labels(path).observe(time.perf_counter() - started)
        self._verdicts.labels(str(judgement.outcome), str(judgement.fault)).inc()
        return verdict(judgement, self._settings, well_formed)
