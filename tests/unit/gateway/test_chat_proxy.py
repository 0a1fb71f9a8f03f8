"""Which generators a chat request goes to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.chat_proxy import in_turn
from vapo.ledger.fleet import Member

STATES = st.sampled_from(["READY", "LOADING", "STALE", "UNREADY", "DEAD"])


def fleet(states: list[str]) -> list[Member]:
    return [Member(f"g{index}", "generator", f"http://{index}:{state}", state) for index, state in enumerate(states)]


def test_a_generator_that_loads_new_weights_is_asked_where_no_other_is_ready() -> None:
    assert in_turn(fleet(["STALE", "LOADING", "DEAD"]), 7) == ["http://1:LOADING"]
    assert in_turn(fleet(["LOADING", "READY"]), 0) == ["http://1:READY", "http://0:LOADING"]
    assert in_turn(fleet(["STALE", "DEAD"]), 0) == in_turn([], 3) == []


@given(st.lists(STATES, max_size=8), st.integers(0, 50))
def test_all_that_answer_are_asked_once_the_ready_ones_first(states: list[str], turn: int) -> None:
    urls = in_turn(fleet(states), turn)
    kinds = [url.rpartition(":")[2] for url in urls]
    assert kinds == ["READY"] * states.count("READY") + ["LOADING"] * states.count("LOADING")
    assert len(set(urls)) == len(urls)


@given(st.integers(1, 8))
def test_ready_generators_take_turns(count: int) -> None:
    firsts = {in_turn(fleet(["READY"] * count), turn)[0] for turn in range(count)}
    assert len(firsts) == count
