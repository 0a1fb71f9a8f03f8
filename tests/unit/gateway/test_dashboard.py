"""How the dashboard's page behaves, run in node with stand-ins for the browser and the gateway."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOST = ROOT / "tests" / "support" / "page_host.mjs"
PAGE = ROOT / "services" / "gateway" / "static" / "dashboard.html"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

METRICS = {
    "run": "r",
    "latest": None,
    "weight_version": 0,
    "paused": False,
    "stop_requested": False,
    "depths": {"dead": 0},
    "counters": {},
}


def rollout(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "verdict": "correct",
        "state": "verified",
        "length": 3,
        "newest_weight_version": 0,
        "prompt": "1+1=?",
        "text": "2",
        "answer": "2",
    }


def answers(**changes: Any) -> dict[str, Any]:
    """What a healthy gateway answers, by path; a change is a body, or a status with its body."""
    usual = {
        "readyz": {"status": "ready"},
        "v1/metrics": METRICS,
        "v1/metrics/history": {"metrics": []},
        "v1/fleet": {"members": []},
        "v1/evaluations": {"evaluations": []},
        "v1/rollouts": {"rollouts": []},
        "v1/dead-letters": {"dead_letters": []},
    }
    for name, change in changes.items():
        usual[name if name == "readyz" else f"v1/{name.replace('_', '-')}"] = change
    return {path: body if isinstance(body, list) else [200, body] for path, body in usual.items()}


def refused(token: str) -> dict[str, Any]:
    """What a gateway answers to a token it does not know."""
    return {path: [200 if path == "readyz" else 401, {"detail": token}] for path in answers()}


def seen(*rounds: dict[str, Any], page: str = "http://host:1/", base: str = "http://host:1/") -> list[dict[str, Any]]:
    """What the page shows and asks for, refresh by refresh."""
    scenario = {"page": page, "base": base, "rounds": rounds}
    done = subprocess.run(
        ["node", HOST, PAGE], input=json.dumps(scenario), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_refused_token_is_said_and_polling_stops_until_another_is_given() -> None:
    first, idle, wrong, still, right, after = seen(
        {"answers": refused("none")},
        {"answers": refused("none")},
        {"answers": refused("wrong"), "give": "wrong"},
        {"answers": refused("wrong")},
        {"answers": answers(), "give": "right"},
        {"answers": answers()},
    )
    assert first["awaitsToken"]
    assert first["shown"]["refused"] == ""
    assert idle["asked"] == []
    assert {call["token"] for call in wrong["asked"]} <= {"", "Bearer wrong"}
    assert wrong["shown"]["refused"] == "this token is refused; give another"
    assert still["asked"] == []
    assert "Bearer right" in {call["token"] for call in right["asked"]}
    assert not after["awaitsToken"]
    assert after["shown"]["run"] == "r"
    assert after["shown"]["refused"] == ""


def test_rollouts_that_did_not_change_are_not_touched() -> None:
    def listed(*names: str) -> dict[str, Any]:
        return answers(rollouts={"rollouts": [rollout(name) for name in names]})

    *_, same, newer, opened = seen(
        {"answers": listed("a", "b")},
        {"answers": listed("a", "b")},
        {"answers": listed("a", "b")},
        {"answers": listed("c", "a", "b")},
        {"answers": listed("d", "c"), "open": 3},
    )
    assert [one["moves"] for one in same["rollouts"]] == [1, 1]
    assert [one["writes"] for one in same["rollouts"]] == [1, 1]
    assert [one["moves"] for one in newer["rollouts"]] == [1, 1, 1], "nothing there was moved"
    shown = [one["text"].split()[1] for one in opened["rollouts"]]
    assert shown == ["d", "c", "b"], "what is open stays"
    assert opened["rollouts"][2]["moves"] == 1


@pytest.mark.parametrize("page", ["http://host:1/behind/a/prefix", "http://host:1/behind/a/prefix/"])
def test_everything_is_asked_for_under_the_pages_own_prefix(page: str) -> None:
    [first] = seen({"answers": answers()}, page=page, base="http://host:1/behind/a/prefix/")
    assert first["shown"]["run"] == "r"
    assert all(call["url"].startswith("http://host:1/behind/a/prefix/") for call in first["asked"])


def test_what_is_wrong_is_told_and_taken_back() -> None:
    letters = [{"reason": "temperature must be in [0, 2]"}] * 2 + [{"reason": "too long"}]
    ill = {
        "part": "generator",
        "state": "STALE",
        "url": "http://g",
        "reason": "no weights",
        "weight_version": 0,
        "seconds_since_heartbeat": 1.0,
        "details": {},
    }
    dead = ill | {"part": "value", "state": "DEAD", "url": "http://v", "reason": ""}
    full = "Redis refuses writes: it is full"
    bad, good = seen(
        {
            "answers": answers(
                readyz=[503, {"detail": full}],
                fleet={"members": [ill, dead]},
                metrics=METRICS | {"depths": {"dead": 3}},
                dead_letters={"dead_letters": letters},
            )
        },
        {"answers": answers()},
    )
    assert bad["problems"] == [
        f"The gateway is not ready: {full}",
        "generator http://g is STALE: no weights",
        "value http://v is DEAD: its heartbeat stopped; see its log",
        "3 dead letters: tasks or rollouts that failed for good. The newest:",
        "2 × temperature must be in [0, 2]",
        "1 × too long",
    ]
    assert bad["title"].startswith("! ")
    assert good["problems"] == []
    assert good["title"] == "step 0 · r · vapo"


def test_a_run_that_redis_has_lost_is_told_though_nothing_else_answers() -> None:
    lost = [503, {"detail": "Redis has lost this run: it holds nothing of it"}]
    told = answers(readyz=lost, metrics=lost, rollouts=lost, dead_letters=lost)
    [shown] = seen({"answers": told})
    assert shown["problems"] == [f"The gateway is not ready: {lost[1]['detail']}"]
    assert shown["shown"]["state"] == lost[1]["detail"]


def test_value_pretraining_shows_that_something_happens() -> None:
    trainer = {
        "part": "trainer",
        "state": "READY",
        "url": "http://t",
        "weight_version": 0,
        "seconds_since_heartbeat": 1.0,
        "reason": "",
        "details": {"phase": "value pretraining", "pretraining_step": 7},
    }
    [shown] = seen({"answers": answers(fleet={"members": [trainer]})})
    assert shown["shown"]["phase"] == ("trainer: value pretraining · value pretraining: batch 7 is done")
    assert shown["problems"] == []
