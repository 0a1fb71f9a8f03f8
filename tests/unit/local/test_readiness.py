"""Waiting for parts: what counts as ready, and what the wait says when it gives up."""

from __future__ import annotations

import pytest

from vapo.local.ports import free_ports
from vapo.local.supervision.readiness import Awaited, NotReadyError, wait_ready


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def test_a_part_that_nobody_answers_for_is_named_with_its_deadline(nobody: str) -> None:
    with pytest.raises(NotReadyError, match=r"trainer was not ready within 0 s: no answer"):
        wait_ready({"trainer": Awaited(nobody, 0.0)})


def test_a_part_that_has_finished_is_not_waited_for(nobody: str) -> None:
    took = wait_ready({"trainer": Awaited(nobody, 60.0)}, finished=lambda name: name == "trainer")
    assert took["trainer"] < 60.0


def test_giving_up_early_is_passed_on(nobody: str) -> None:
    def given_up() -> None:
        raise RuntimeError("the trainer was given up")

    with pytest.raises(RuntimeError, match="given up"):
        wait_ready({"trainer": Awaited(nobody, 60.0)}, given_up)
