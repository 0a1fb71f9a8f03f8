"""The client commands against a real gateway."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.test_gateway_evaluations import judge, respond
from tests.support.ledger_records import CORRECT, WRONG
from tests.support.running_gateway import RunningGateway
from vapo.cli import main
from vapo.client import GatewayClient
from vapo.client.event_stream import follow
from vapo.ledger.fleet import Member

GSM8K_ROW = {"question": "2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}


@pytest.fixture
def url(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VAPO_URL", gateway.url)
    return gateway.url


def write_jsonl(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def waiting(gateway: RunningGateway) -> list[str]:
    items = gateway.ledger.redis.lrange(gateway.ledger.keys.named("backlog"), 0, -1)
    return [item.decode().rpartition("|")[0] for item in items]


@pytest.mark.usefixtures("url")
def test_submit_sends_a_file_once(gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"{number}+1=?", "answer": str(number + 1)} for number in range(3)]
    file = write_jsonl(tmp_path / "sums of 1.jsonl", [*rows, {**rows[0], "id": "mine"}, rows[0]])
    assert main(["submit", file]) == 0
    assert capsys.readouterr().out == "5 prompts accepted, 0 known already\n"
    assert main(["submit", file]) == 0
    assert capsys.readouterr().out == "0 prompts accepted, 5 known already\n"
    assert waiting(gateway)[3] == "mine"
    assert waiting(gateway)[0].startswith("sums-of-1-1-")


@pytest.mark.usefixtures("url")
def test_submit_maps_the_columns_of_gsm8k(gateway: RunningGateway, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "gsm.jsonl", [GSM8K_ROW])
    assert (
        main(["submit", file, "--prompt-field", "question", "--answer-pattern", "#### (.*)", "--append", "\\nBox it."])
        == 0
    )
    task = gateway.ledger.task(waiting(gateway)[0]).task
    assert (task.prompt, task.answer) == ("2 + 2?\nBox it.", "4")


@pytest.mark.usefixtures("url")
def test_submit_uploads_a_data_set(gateway: RunningGateway, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "gsm.jsonl", [GSM8K_ROW, GSM8K_ROW])
    words = ["submit", file, "--dataset", "gsm", "--split", "eval", "--prompt-field", "question"]
    assert main(words) == 0
    assert gateway.client.get("/v1/datasets/gsm").json()["rows"] == 2


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (b'{"prompt": "1"}\n', [], "no column that is known to hold the answer"),
        (b'{"prompt": "1", "answer": "1", "samples": "x"}\n', [], "line 1, samples: Input should"),
        (b'{"prompt": "1"\n', [], "line 1: is not JSON"),
        (b'\n{"prompt": "\xff"}\n', [], "line 2: is not UTF-8"),
        (b"[]\n", [], "holds no problems"),
        (b"\n", [], "holds no problems"),
        (b'{"q": "1", "answer": "1"}\n', ["--prompt-field", "question"], "no column 'question'"),
        (b'{"prompt": "1", "answer": "1"}\n', ["--answer-pattern", "#### (.*)"], "does not match"),
    ],
)
def test_submit_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: list[str], message: str
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_bytes(content)
    assert main(["submit", str(file), *words]) == 1
    assert message in capsys.readouterr().err


def test_an_answer_pattern_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["submit", "any.jsonl", "--answer-pattern", "("])
    assert end.value.code == 2
    assert "'(' is no regular expression" in capsys.readouterr().err


def test_a_gateway_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", "http://127.0.0.1:9"]) == 1
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9" in error
    assert "vapo up" in error


@pytest.mark.usefixtures("url")
def test_eval_waits_and_tells_the_scores(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_jsonl(
        tmp_path / "held.jsonl", [{"prompt": "1+1=?", "answer": "2"}, {"prompt": "1+2=?", "answer": "3"}]
    )
    stop = threading.Event()

    def other_parts() -> None:
        while not stop.wait(0.05):
            respond(gateway.ledger)
            judge(gateway.ledger, lambda name: CORRECT if ":0." in name else WRONG)

    thread = threading.Thread(target=other_parts)
    thread.start()
    try:
        assert main(["eval", file, "-k", "4", "--details", str(tmp_path / "details.jsonl")]) == 0
        shown = capsys.readouterr().out
        assert main(["eval", file, "-k", "2", "--temperature", "0.7", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
    finally:
        stop.set()
        thread.join(timeout=10)
    assert "avg@4 0.5000 ± 0.5000   maj@4 0.5000" in shown
    assert "pass@1 0.5000  pass@2 0.5000  pass@4 0.5000" in shown
    assert (result["avg_at_k"], result["temperature"], result["responses"]) == (0.5, 0.7, 4)
    details = [json.loads(line) for line in (tmp_path / "details.jsonl").read_text().splitlines()]
    assert [row["correct"] for row in details] == [4, 0]


@pytest.mark.usefixtures("url")
def test_eval_ends_in_status_1_with_the_reason_when_responses_failed(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_jsonl(tmp_path / "held.jsonl", [{"prompt": "1+1=?", "answer": "2"}])
    stop = threading.Event()

    def no_engine() -> None:
        while not stop.wait(0.05):
            for lease in gateway.ledger.lease_tasks("generator", 10, version=10**6):
                gateway.ledger.bury(lease, "the engine refuses it: too hot")

    thread = threading.Thread(target=no_engine)
    thread.start()
    try:
        assert main(["eval", file, "-k", "3"]) == 1
        shown = capsys.readouterr().out
        assert main(["eval", file, "-k", "3", "--json"]) == 1
    finally:
        stop.set()
        thread.join()
    assert "avg@3 none" in shown
    assert "3 of 3 responses failed" in shown
    assert "3 times: the engine refuses it: too hot" in shown
    told = capsys.readouterr()
    assert "avg_at_k" not in json.loads(told.out)
    assert "too hot" in told.err


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--temperature", "3"], "temperature"),
        (["--temperature", "0", "-k", "2"], "temperature 0 is greedy"),
        (["--top-p", "0"], "top_p"),
        (["--max-new-tokens", "100000"], "leaves no room"),
    ],
)
def test_eval_tells_at_once_what_cannot_be_sampled(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_jsonl(tmp_path / "held.jsonl", [{"prompt": "1+1=?", "answer": "2"}])
    assert main(["eval", file, *options]) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.usefixtures("url")
def test_eval_gives_up_at_its_deadline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_jsonl(tmp_path / "held.jsonl", [{"prompt": "1+1=?", "answer": "2"}])
    assert main(["eval", file, "--deadline", "0.6", "-k", "3"]) == 1
    assert "0 of 3 responses" in capsys.readouterr().err
    assert main(["eval"]) == 2
    assert "either a file or --dataset" in capsys.readouterr().err


@pytest.mark.usefixtures("url")
def test_status_and_metrics(gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    assert "step      none yet" in capsys.readouterr().out
    for step in (1, 2):
        gateway.ledger.journal.write_metrics(step, {"reward": step / 3, "entropy": None})
    gateway.ledger.fleet.beat(Member("g1", "generator", "http://g1", "READY", 7))
    gateway.ledger.control.pause()
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    for words in ("paused", "step 2 of", "reward 0.6667", "waiting   nothing"):
        assert words in shown
    assert ["generator", "READY", "v7", "http://g1"] in [line.split()[:4] for line in shown.splitlines()]
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latest"]["step"] == 2
    assert main(["metrics", "--format", "csv", "--fields", "step,reward", "--last", "1"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == [{"step": "2", "reward": str(2 / 3)}]
    assert main(["metrics"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[:2] == ["step", "reward"]
    assert table[1].split()[:3] == ["1", "0.3333", "-"]
    assert main(["metrics", "--format", "jsonl", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_following_goes_on_over_a_restart_of_the_gateway(gateway: RunningGateway) -> None:
    """Also when nothing was told before the connection broke."""
    seen: list[int] = []

    def listen() -> None:
        with GatewayClient(gateway.url) as client:
            for event in follow(client):
                seen.append(event.data["step"])
                if len(seen) == 2:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    time.sleep(0.5)
    again = gateway.restart(lambda: gateway.ledger.journal.write_metrics(1, {}))
    again.ledger.journal.write_metrics(2, {})
    thread.join(timeout=15)
    assert seen == [1, 2]
