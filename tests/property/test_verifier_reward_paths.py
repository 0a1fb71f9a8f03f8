"""The same text has the same verdict and reward over HTTP and from the queue, however long it is in tokens."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.verifier.queue_judge import QueueJudge
from services.verifier.routes import ResponseToJudge, judge_all
from services.verifier.service import VerifierService
from tests.support.ledger_records import generated, task
from vapo.ledger import Ledger
from vapo.ledger.leases import Lease
from vapo.messages import Rollout, Verdict
from vapo.settings import VerifierSettings

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "without a box": {"require_box": False},
    "0 and 1": {"reward_correct": 1.0, "reward_wrong": 0.0},
    "format": {"format_pattern": r"</think>\s*\S", "format_reward": 0.5},
    "format that costs": {"format_pattern": "(?s)^.{20,}", "format_reward": -0.25, "require_box": False},
}
BOXES = (r"\boxed{2}", r"\boxed{\frac{4}{2}}", r"\boxed{x+1}", r"\boxed{")
PIECES = st.sampled_from([*BOXES, "<think>", "</think>", "\n", " ", "2", "x+1", "answer is 2", "}"])
RESPONSES = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=100))


class Recorder:
    """The parts of a ledger that the worker writes to."""

    settings = SimpleNamespace(ledger=SimpleNamespace(lease_seconds=1.0))
    watch = SimpleNamespace(failed=lambda what, error: None)

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def record_verdicts(self, judged: list[tuple[Lease, Rollout, Verdict]]) -> None:
        self.verdicts += [verdict for _, _, verdict in judged]


@pytest.fixture(scope="module", params=SHAPES)
def service(request: pytest.FixtureRequest) -> Iterator[VerifierService]:
    shape = VerifierSettings(workers=1, time_limit_seconds=20.0, **SHAPES[request.param])
    service = VerifierService(shape, CollectorRegistry())
    yield service
    service.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(response=RESPONSES, reference=st.sampled_from(["2", "x+1"]), tokens=st.integers(1, 500))
def test_http_and_the_queue_give_the_same_reward(
    service: VerifierService, response: str, reference: str, tokens: int
) -> None:
    ledger = Recorder()
    rollout = Rollout("t.0", replace(task("t"), answer=reference), 0, "generated", generated(tokens, text=response))
    QueueJudge(service, cast(Ledger, ledger), "verifier", 1).verify([(cast(Lease, None), rollout)])
    with ThreadPoolExecutor(1) as threads:
        asked = judge_all(service, threads, [ResponseToJudge(response=response, reference=reference)])
    assert asked == ledger.verdicts
