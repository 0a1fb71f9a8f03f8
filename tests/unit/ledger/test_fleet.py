"""Which dead members of the fleet are still worth showing."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vapo.ledger.fleet import DEAD, Member, without_replaced


def member(name: str, state: str, since: float, seen_at: float, url: str = "", part: str = "value") -> Member:
    return Member(name, part, url, state, since=since, seen_at=seen_at)


def names(*members: Member) -> list[str]:
    return [one.name for one in without_replaced(members)]


def test_a_part_started_again_replaces_the_one_that_died() -> None:
    died = member("old", DEAD, 0, 10, "http://a")
    assert names(died, member("new", "READY", 11, 20, "http://b")) == ["new"]
    assert names(died, member("new", "READY", 5, 20, "http://b")) == ["old", "new"], "beside it"
    other = member("new", "READY", 11, 20, "http://a", part="gateway")
    assert names(died, other) == ["old", "new"], "another part"


def test_of_two_dead_one_new_replaces_one() -> None:
    first = member("first", DEAD, 0, 10, "http://a")
    second = member("second", DEAD, 0, 12, "http://b")
    assert names(first, second, member("new", "READY", 20, 30)) == ["first", "new"]


def test_all_earlier_starts_at_one_address_are_replaced_by_the_newest() -> None:
    starts = [member(f"{at}", DEAD, at, at + 1, "http://a") for at in (0, 10, 20)]
    assert names(*starts, member("new", "STALE", 30, 40, "http://a")) == ["new"]


MEMBERS = st.lists(
    st.builds(
        lambda part, state, since, lived, url: (part, state, since, since + lived, url),
        st.sampled_from(["value", "generator"]),
        st.sampled_from([DEAD, "READY", "UNREADY"]),
        st.floats(0, 50),
        st.floats(0, 50),
        st.sampled_from(["http://a", "http://b"]),
    ),
    max_size=12,
)


@given(MEMBERS)
def test_the_living_stay_and_no_more_dead_go_than_were_replaced(
    drawn: list[tuple[str, str, float, float, str]],
) -> None:
    members = [
        member(str(at), state, since, seen, url, part) for at, (part, state, since, seen, url) in enumerate(drawn)
    ]
    left = without_replaced(members)
    assert [one for one in left if one.state != DEAD] == [one for one in members if one.state != DEAD]
    gone = [one for one in members if one not in left]
    living = Counter(one.part for one in members if one.state != DEAD)
    addresses = Counter((one.part, one.url) for one in gone)
    for part, count in Counter(one.part for one in gone).items():
        most_at_one_address = sum(number - 1 for (of, _), number in addresses.items() if of == part)
        assert count <= living[part] + most_at_one_address
    for one in gone:
        assert any(other.part == one.part and other.since >= one.seen_at for other in members if other.state != DEAD)
