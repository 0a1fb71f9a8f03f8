"""How every part is started, served and ended."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from vapo.ledger.fleet import Member
from vapo.ledger.run_watch import RunWatch
from vapo.service import Endpoint, Part, app_of, main
from vapo.settings import Settings

ROOT = Path(__file__).parents[3]
ENDPOINT = Endpoint("relay", "relay-1", "http://127.0.0.1:1")
HOMES = ("services/gateway", "services/generator", "services/verifier", "services/value", "services/relay", "trainer")


class Described(Part):
    """A part that notes what becomes of it."""

    body_limit = 10

    def __init__(self) -> None:
        super().__init__(Settings(), ENDPOINT, RunWatch(Settings()))
        self.course: list[str] = []

    async def start(self) -> None:
        self.course.append("start")

    def stop(self) -> None:
        self.course.append("stop")

    def close(self) -> None:
        self.course.append("close")

    def unready_reason(self) -> str | None:
        return None if self.course else "not begun"

    def member(self) -> Member:
        return self.endpoint.member("READY", 3, {"size": 1})

    def numbers(self) -> dict[str, float]:
        return {"answers": 42.0}


class Seen:
    """In the place of the heartbeat: notes when it begins and ends."""

    def __init__(self, part: Described) -> None:
        self._part = part

    def start(self) -> None:
        self._part.course.append("in the fleet")

    def stop(self) -> None:
        self._part.course.append("left the fleet")


def add_routes(app: FastAPI, part: Described) -> None:
    @app.post("/course")
    def course(body: str) -> list[str]:
        return part.course


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Described:
    described = Described()
    monkeypatch.setattr("vapo.service.part.Heartbeat", lambda *_: Seen(described))
    return described


def test_a_part_is_in_the_fleet_while_it_works_and_has_left_it_before_it_lets_go(part: Described) -> None:
    with TestClient(app_of(part, add_routes)) as client:
        assert part.course == ["start", "in the fleet"]
        assert client.get("/readyz").status_code == 200
    assert part.course == ["start", "in the fleet", "stop", "left the fleet", "close"]


def test_a_part_that_is_not_to_be_seen_is_in_no_fleet(part: Described) -> None:
    with TestClient(app_of(part, add_routes, in_fleet=False)):
        pass
    assert part.course == ["start", "stop", "close"]


def test_an_app_tells_what_its_part_knows(part: Described) -> None:
    client = TestClient(app_of(part, add_routes))
    assert client.get("/readyz").json()["detail"] == "not begun"
    assert "vapo_relay_answers 42.0" in client.get("/metrics").text
    assert client.get("/openapi.json").json()["info"]["title"] == "vapo relay"
    assert client.post("/course", content=b"x" * 11).status_code == 413


def test_a_member_stands_at_its_place() -> None:
    assert ENDPOINT.member("STALE", reason="loading") == Member(
        "relay-1", "relay", "http://127.0.0.1:1", "STALE", reason="loading"
    )


def test_what_is_wrong_with_a_start_is_one_line_before_the_part_is_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_: Settings) -> int:
        raise AssertionError("the part was imported")

    monkeypatch.setattr("vapo.service.process.configure_logging", lambda: None)
    assert main("services.value", work, ["--set", "value.port=much"]) == os.EX_CONFIG
    monkeypatch.setattr("vapo.installation.find_spec", lambda _: None)
    assert main("services.value", work, []) == os.EX_CONFIG
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in told] == ["services.value"] * 2
    assert "value.port" in told[0]
    assert "not installed here: torch" in told[1]


@pytest.mark.parametrize("home", HOMES)
def test_parts_are_made_alike(home: str) -> None:
    """`__main__` imports nothing of its part at its top but, for the trainer, how a rank ends."""
    package = home.replace("/", ".")
    for file in ("process.py", "part.py", "routes.py" if home != "services/gateway" else "routes/__init__.py"):
        assert (ROOT / home / file).is_file(), file
    tree = ast.parse((ROOT / home / "__main__.py").read_text("utf-8"))
    own = {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}
    assert {name for name in own if name.startswith(package)} <= {"trainer.ranks.rank_exit"}
