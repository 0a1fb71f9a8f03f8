"""`vapo watch` and `vapo status` against a real gateway: what they say, and how they end."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.test_connection_options import in_folder
from tests.integration.gateway.test_gateway_evaluations import judge, respond
from tests.support.ledger_records import CORRECT
from tests.support.running_gateway import RunningGateway
from vapo.cli import main
from vapo.ledger.fleet import Member
from vapo.ledger.keys import Stage
from vapo.local.run_folders.run_outcome import kept, note_training
from vapo.service import Heartbeat

NARROW = 80
DEADLINE_SECONDS = 30.0
ROW = {
    "reward": -0.00001,
    "accuracy": 0.125,
    "response_length": 119.875,
    "truncated_fraction": 1.0,
    "entropy": 2.0133,
    "explained_variance": -0.0123,
    "tokens_per_second": 37.4,
    "version": 2,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAPO_URL", raising=False)


@pytest.fixture
def url(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VAPO_URL", gateway.url)
    return gateway.url


def finish(gateway: RunningGateway, state: str = "finished") -> None:
    """As the trainer says it."""
    fields = {"step": 3, "max_steps": 3}
    gateway.ledger.journal.note_course(state, **fields)
    gateway.ledger.journal.tell("trainer_stopped", {"state": state, **fields})


@contextlib.contextmanager
def watching(*words: str) -> Iterator[list[int]]:
    """`vapo watch` in a thread; the list gets its exit status."""
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(main(["watch", *words])))
    thread.start()
    try:
        yield ended
    finally:
        thread.join(timeout=DEADLINE_SECONDS)
        assert not thread.is_alive(), "vapo watch did not end"


def shown_until(capsys: pytest.CaptureFixture[str], words: str, deadline: float = DEADLINE_SECONDS) -> str:
    """What was printed, as soon as it has `words`."""
    text, until = "", time.monotonic() + deadline
    while words not in text:
        assert time.monotonic() < until, f"{words!r} did not come: {text}"
        time.sleep(0.05)
        text += capsys.readouterr().out
    return text


@pytest.mark.usefixtures("url")
def test_a_run_that_does_nothing_is_introduced_at_once(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    with watching():
        header = shown_until(capsys, gateway.url)
        finish(gateway)
    assert f"run {gateway.settings.run.name}: not started, step 0 of" in header
    assert "trainer finished at step 3 of 3" in capsys.readouterr().out


@pytest.mark.usefixtures("url")
def test_a_step_is_one_aligned_line(gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    journal = gateway.ledger.journal
    journal.note_course("running", max_steps=3)
    journal.tell("value_pretraining", {"pretraining_step": 1, "value_loss": 0.5, **ROW})
    for step in (1, 2, 3):
        journal.tell("weights", {"version": step, "step": step - 1})
        journal.write_metrics(step, ROW)
    journal.tell(
        "evaluation",
        {
            "id": "e",
            "dataset": "test",
            "samples": 4,
            "avg_at_k": 0.5,
            "standard_error": 0.1,
            "maj_at_k": 0.6,
            "newest_weight_version": 3,
            "step": 3,
        },
    )
    finish(gateway)
    assert main(["watch", "--from-start"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= NARROW
    clocked = [line[10:] for line in lines[1:] if line[:1].isdigit()]
    assert clocked[0].startswith("pretraining 1: expl.var")
    steps = [line for line in clocked if line.split()[0] in ("1/3", "2/3", "3/3")]
    assert [line.split()[1:8] for line in steps] == [["+0.00", "0.125", "120", "100%", "2.0133", "-0.012", "37"]] * 3
    assert len({len(line) for line in steps}) == 1
    assert "held-out test (step 3, v3): avg@4 0.5000 ± 0.1000, maj@4 0.6000" in clocked[-2]
    assert clocked[-1] == "trainer finished at step 3 of 3"
    assert sum("were cut at" in line for line in clocked) == 1
    assert not any("weights " in line for line in clocked)


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(("state", "status"), [("finished", 0), ("asked to stop", 0), ("failed", 1)])
def test_a_run_that_has_ended_is_not_waited_for(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str], state: str, status: int
) -> None:
    gateway.ledger.journal.note_course(state, step=2, max_steps=3, reason="disk full")
    assert main(["watch"]) == status
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 1
    assert ("disk full" in said) == (state == "failed") or state != "failed"


@pytest.mark.usefixtures("url")
def test_failures_are_told_while_they_come(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vapo.cli.commands.watch.LOOK_SECONDS", 0.2)
    with watching() as ended:
        shown_until(capsys, gateway.url)
        bury_one(gateway, "temperature must be in [0, 2], got 2.5")
        said = shown_until(capsys, "temperature must be in [0, 2]")
        gateway.ledger.journal.tell("trainer_failed", {"error": "FloatingPointError: nan"})
    assert "1 more failed for good (1 in all)" in said
    assert ended == [1]


@pytest.mark.usefixtures("url")
def test_what_failed_before_is_told_at_the_start(gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    bury_one(gateway, "the prompt has 9000 tokens")
    with watching() as ended:
        said = shown_until(capsys, "the prompt has 9000 tokens")
        gateway.ledger.journal.tell("trainer_failed", {"error": "FloatingPointError: nan"})
    assert "1 for good" in said
    assert ended == [1]


def bury_one(gateway: RunningGateway, reason: str) -> None:
    prompt = {"prompt": "1+1=?", "answer": "2"}
    gateway.client.post("/v1/prompts", json={"prompts": [prompt]}).raise_for_status()
    until = time.monotonic() + DEADLINE_SECONDS
    while not (leases := gateway.ledger.lease_tasks("worker", 1, 0)):
        assert time.monotonic() < until, "nothing to lease"
    assert leases[0].stage == Stage.TASKS
    assert gateway.ledger.bury(leases[0], reason)


def test_watching_a_local_run_outlives_a_failed_trainer_and_ends_with_the_run(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its keeper starts the trainer again; when the keeper gives up, so does the watch."""
    folder = in_folder(gateway.settings, gateway.url)
    journal = gateway.ledger.journal
    with contextlib.ExitStack() as watch:
        with contextlib.suppress(RuntimeError), kept(folder):
            ended = watch.enter_context(watching())
            shown_until(capsys, gateway.url)
            journal.tell("trainer_failed", {"error": "OutOfMemoryError"})
            journal.write_metrics(1, ROW)
            shown_until(capsys, "+0.00")
            assert ended == []
            raise RuntimeError("trainer died 5 times within 60 s")
        end = shown_until(capsys, "has ended")
    assert "trainer died 5 times" in end
    assert ended == [1]


@pytest.mark.usefixtures("url")
def test_events_as_json_lines(gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.ledger.journal.write_metrics(1, ROW)
    finish(gateway)
    assert main(["watch", "--from-start", "--json"]) == 0
    kinds = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert kinds == ["metrics", "trainer_stopped"]


@pytest.mark.parametrize(
    ("state", "words", "watched"),
    [("finished", "trainer finished at step 3 of 3", 0), ("failed", "failed at step 3 of", 1)],
)
def test_status_watch_and_metrics_of_a_run_that_has_ended(
    make_gateway: Callable[..., RunningGateway],
    capsys: pytest.CaptureFixture[str],
    free_port: int,
    state: str,
    words: str,
    watched: int,
) -> None:
    settings = make_gateway().settings
    folder = in_folder(settings, f"http://127.0.0.1:{free_port}")
    rows = [{"step": step, "at": 1.0, **ROW} for step in (1, 2, 3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with contextlib.suppress(RuntimeError), kept(folder):
        note_training(folder, state, 3, 3, "disk full")  # type: ignore[arg-type]
        if state == "failed":
            raise RuntimeError("disk full")
    assert main(["status"]) == 0
    assert words in capsys.readouterr().out
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == state
    assert main(["watch"]) == watched
    assert words in capsys.readouterr().out
    assert main(["metrics"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["1", "2", "3"]
    assert "-0.0000" not in table


@pytest.mark.usefixtures("url")
def test_status_has_words_for_queues_failures_and_parts(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    bury_one(gateway, "the prompt is longer than the model's context")
    fleet, journal = gateway.ledger.fleet, gateway.ledger.journal
    dead = Member("v0", "value", "http://v:1", "READY")
    fleet.beat(dead)
    long_ago = json.dumps({**dead.__dict__, "seen_at": fleet.now() - 2714})
    gateway.ledger.redis.hset(gateway.ledger.keys.named("fleet"), "v0", long_ago)
    fleet.beat(Member("v1", "value", "http://v:1", "READY"))
    fleet.beat(Member("g", "generator", "http://g:1", "STALE", 3, {"reason": "refused v4: lacks"}))
    fleet.beat(Member("t", "trainer", "http://t:1", "READY", 3, {"phase": "training"}))
    journal.note_course("running", max_steps=100)
    for step in (1, 2, 3):
        journal.write_metrics(step, ROW)
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "training, step 3 of 100, about" in said
    assert "1 for good; the newest" in said
    assert "the prompt is longer than the model's context" in said
    assert "refused v4: lacks" in said
    assert "DEAD" not in said
    for internal in ("scored_leased", "backlog", "eval_tasks", "verified", "submitted_train"):
        assert internal not in said


def test_a_change_of_state_is_told_before_the_next_heartbeat_is_due(gateway: RunningGateway) -> None:
    """A generator that has become ready is not shown as STALE for the rest of an interval."""
    state, ledger = ["STALE"], gateway.ledger
    member = Member("g", "generator", "http://g:1", "STALE")
    heartbeat = Heartbeat(ledger.watch, lambda: replace(member, state=state[0]), 3600.0)

    def shown() -> list[str]:
        return [one["state"] for one in gateway.client.get("/v1/fleet").json()["members"]]

    heartbeat.start()
    try:
        for state[0] in ("STALE", "READY"):
            until = time.monotonic() + DEADLINE_SECONDS
            while shown() != [state[0]]:
                assert time.monotonic() < until, f"{state[0]} was not told"
                time.sleep(0.05)
    finally:
        heartbeat._loop.stop()
        heartbeat._loop.join(DEADLINE_SECONDS)


@pytest.mark.usefixtures("url")
def test_a_trainer_without_prompts_says_what_it_waits_for(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    details = {"phase": "waiting for rollouts"}
    gateway.ledger.fleet.beat(Member("t", "trainer", "http://t:1", "READY", 0, details))
    gateway.ledger.journal.note_course("running", max_steps=100)
    assert main(["status"]) == 0
    assert "waiting for prompts: none is queued, see `vapo submit`" in capsys.readouterr().out
    prompt = {"prompt": "1+1=?", "answer": "2"}
    gateway.client.post("/v1/prompts", json={"prompts": [prompt]}).raise_for_status()
    assert main(["status"]) == 0
    assert "waiting for rollouts, step 0 of 100" in capsys.readouterr().out


def test_an_evaluation_says_of_which_data_set_and_step_it_is(gateway: RunningGateway) -> None:
    rows = b'{"prompt": "1+1=?", "answer": "2"}\n'
    where = {"name": "held", "split": "eval"}
    gateway.client.post("/v1/datasets", params=where, content=rows).raise_for_status()
    for step in (1, 2, 3):
        gateway.ledger.journal.write_metrics(step, {**ROW, "version": step + 1})
    asked = gateway.client.post("/v1/evaluations", json={"dataset": "held", "samples": 1})
    asked.raise_for_status()
    until, told = time.monotonic() + DEADLINE_SECONDS, []
    while not told:
        assert time.monotonic() < until, "the evaluation did not end"
        respond(gateway.ledger)
        judge(gateway.ledger, lambda _: CORRECT)
        events = gateway.ledger.journal.events("0", 0.1)
        told = [data for _, kind, data in events if kind == "evaluation"]
    version = told[0]["newest_weight_version"]
    assert (told[0]["dataset"], told[0]["step"]) == ("held", min(3, max(0, version - 1)))


def test_every_frame_of_events_says_when_to_come_back(gateway: RunningGateway) -> None:
    gateway.ledger.journal.write_metrics(1, {})
    frames: list[dict[str, Any]] = []
    with gateway.client.stream("GET", "/v1/events", params={"after": "0"}) as response:
        fields: dict[str, Any] = {}
        for line in response.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif not line:
                frames.append(fields)
                fields = {}
            if len(frames) == 2:
                break
    assert [int(frame["retry"]) > 0 for frame in frames] == [True, True]
    assert frames[1]["event"] == "metrics"
