"""`vapo submit`, `vapo eval` and `vapo datasets` with files as people have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from services.gateway.rows.row import Row
from tests.integration.cli.test_client_commands import waiting, write_jsonl
from tests.support.running_gateway import RunningGateway
from vapo.cli import main
from vapo.settings import Settings

LONG = "1" * 449
"""One token too many for the model's context."""
USER = [{"role": "user", "content": "1+1=?"}]
VERL = {
    "data_source": "sums",
    "prompt": USER,
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"index": 3, "split": "train"},
}


@pytest.fixture
def url(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VAPO_URL", gateway.url)
    return gateway.url


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> str:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def kept(gateway: RunningGateway, name: str) -> list[Row]:
    dataset = gateway.gateway.datasets.find(name)
    return gateway.gateway.datasets.read(dataset, range(dataset.rows))


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
@pytest.mark.parametrize("as_dataset", [True, False])
def test_the_columns_hold_for_every_format_and_both_ways_of_sending(
    gateway: RunningGateway, tmp_path: Path, write: Callable[[Path, list[Any]], str], as_dataset: bool
) -> None:
    row = {"prompt": "58+48-29=?", "answer": "58+48=106, 106-29=77\n#### 77", "source": "mine"}
    words = [
        "submit",
        write(tmp_path / "cot", [row]),
        "--answer-pattern",
        "#### (.*)",
        "--append",
        "\\nBox it.",
        *(["--dataset", "cot"] * as_dataset),
    ]
    assert main(words) == 0
    if as_dataset:
        [problem] = kept(gateway, "cot")
        found = (problem.prompt, problem.answer, problem.metadata)
    else:
        task = gateway.ledger.task(waiting(gateway)[0]).task
        found = (task.prompt, task.answer, task.metadata)
    assert found == ("58+48-29=?\nBox it.", "77", {"source": "mine"})


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
def test_verl_s_files_are_known(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path, list[Any]], str]
) -> None:
    file = write(tmp_path / "train", [VERL])
    assert main(["submit", file, "--dataset", "verl", "--append", " Box it."]) == 0
    told = capsys.readouterr()
    assert told.out == "data set verl: 1 rows, split train\n"
    assert "prompt from 'prompt', answer from 'reward_model.ground_truth'" in told.err
    assert "into metadata data_source, reward_model, extra_info" in told.err
    [row] = kept(gateway, "verl")
    assert row.messages is not None
    assert (row.messages[0].content, row.answer) == ("1+1=? Box it.", "2")
    assert row.metadata["extra_info"] == {"index": 3, "split": "train"}
    assert main(["submit", file, "--dataset", "verl", "--append", " Box it."]) == 0
    assert capsys.readouterr().out == "data set verl: 1 rows, split train, already there\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["submit", "FILE", "--split", "eval"], "--split belongs to --dataset"),
        (["submit", "FILE", "--model", "m"], "--model belongs to --dry-run"),
        (["submit", "FILE", "--dry-run", "--set", "a.b=c"], "--set needs --model"),
        (["submit", "FILE", "--dry-run", "--model", "m", "--url", "http://x"], "leave out --url"),
        (["submit", "FILE", "--answer-pattern", "#### .*"], "has no group"),
        (["eval", "--dataset", "held", "--append", "Box it."], "--append is for files"),
        (["eval", "--dataset", "held", "--answer-field", "a"], "--answer-field is for files"),
        (["eval", "--dataset", "held", "--skip-too-long"], "--skip-too-long is for files"),
        (["eval", "FILE", "--dataset", "held"], "either a file or --dataset"),
        (["datasets", "rm"], "vapo datasets rm NAME"),
        (["datasets", "list", "x"], "vapo datasets rm NAME"),
    ],
)
def test_options_that_cannot_hold_are_refused_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    file = write_jsonl(tmp_path / "file", [{"prompt": "1+1=?", "answer": "2"}])
    words = [file if word == "FILE" else word for word in words]
    try:
        status = main(words)
    except SystemExit as end:  # argparse
        status = end.code
    assert status == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("extra", [[], ["--dataset", "sums"]])
def test_too_long_problems_are_named_with_their_line_and_left_out_on_demand(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str]
) -> None:
    lines = [
        json.dumps({"prompt": LONG if number % 3 == 0 else f"{number}+1=?", "answer": "1"}) for number in range(60)
    ]
    file = tmp_path / "long.jsonl"
    file.write_text("\n" + "\n".join(lines))
    assert main(["submit", str(file), *extra]) == 1
    told = capsys.readouterr().err
    assert "long.jsonl: 20 lines are refused\n  line 2, prompt: has 449 tokens" in told
    assert "  line 5, prompt: has 449 tokens" in told
    assert "  and 10 more; --errors lists all\n  --skip-too-long leaves them out" in told
    assert gateway.ledger.depths()["backlog"] == 0
    assert main(["submit", str(file), *extra, "--errors"]) == 1
    assert capsys.readouterr().err.count("has 449 tokens") == 20
    assert main(["submit", str(file), *extra, "--skip-too-long"]) == 0
    told = capsys.readouterr().out
    assert told.endswith(", 20 too long left out\n")
    assert "40 rows" in told or "40 prompts accepted" in told


@pytest.mark.usefixtures("url")
def test_a_refusal_in_a_later_request_names_the_file_s_line(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": f"{number}+1=?", "answer": "1"} for number in range(600)]
    rows[550]["prompt"] = LONG
    assert main(["submit", write_jsonl(tmp_path / "file", rows)]) == 1
    told = capsys.readouterr().err
    assert "line 551, prompt: has 449 tokens" in told
    assert "the 500 problems before them were accepted" in told


@pytest.mark.usefixtures("url")
def test_prompts_with_one_id_are_not_taken_for_one(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": f"{number}+1=?", "answer": "1", "id": 7} for number in range(2)]
    file = write_jsonl(tmp_path / "file", rows)
    assert main(["submit", file]) == 1
    assert "line 2, id: '7' is also the id of line 1; --ignore id" in capsys.readouterr().err
    assert main(["submit", file, "--ignore", "id"]) == 0
    assert len(waiting(gateway)) == 2


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("extra", [[], ["--dataset", "sums"]])
def test_wrong_rows_are_left_out_and_listed_on_demand(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str]
) -> None:
    good = {"prompt": "1+1=?", "answer": "2"}
    wrong = [{"prompt": "1+1=?", "answer": ""}, {"prompt": LONG, "answer": "2"}, {**good, "samples": -1}]
    file = write_jsonl(tmp_path / "file", [wrong[0], good, *wrong[1:], good])
    assert main(["submit", file, *extra]) == 1
    assert "1 line is refused\n  line 1, answer: is empty" in capsys.readouterr().err
    assert main(["submit", file, *extra, "--skip-wrong"]) == 0
    told = capsys.readouterr()
    assert "2 rows" in told.out or "2 prompts accepted" in told.out
    assert "1 line is left out\n  line 1, answer: is empty" in told.err
    assert "2 lines are left out\n  line 3, prompt: has 449 tokens" in told.err
    assert "  line 4, samples: Input should be greater" in told.err


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("extra", [[], ["--dataset", "sums"]])
def test_a_dry_run_shows_prompts_and_refusals_and_sends_nothing(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str], local: bool, extra: list[str]
) -> None:
    rows = [{"question": f"{number}+1=?", "answer": number + 1} for number in range(4)]
    file = write_jsonl(tmp_path / "file", [{"question": LONG, "answer": 1}, *rows])
    words = ["submit", file, "--dry-run", "--append", "\\n", *extra]
    if local:
        words += [
            "--model",
            str(Settings().model.path),
            "--set",
            "model.max_context_tokens=512",
            "--set",
            "sampling.max_new_tokens=64",
        ]
    assert main(words) == 1
    told = capsys.readouterr().out
    assert "4 of 5 problems would be taken, 1 refused" in told
    assert "prompt tokens: 6 to 6, mean 6.0; at most 448 fit" in told
    for line in (2, 3, 4):
        assert f"--- line {line}: 6 tokens, answer '{line - 1}'; the model sees:" in told
    assert "--- line 5" not in told
    assert "  line 1, prompt: has 450 tokens; at most 448 fit" in told
    assert told.endswith("dry run: nothing was sent\n")
    assert main([*words, "--skip-too-long"]) == 0
    assert "4 of 5 problems would be taken, 1 too long left out" in capsys.readouterr().out
    assert gateway.ledger.depths()["backlog"] == 0
    assert gateway.client.get("/v1/datasets").json() == {"datasets": []}


def test_a_dry_run_with_a_model_that_is_none_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_jsonl(tmp_path / "file", [{"prompt": "1+1=?", "answer": "2"}])
    assert main(["submit", file, "--dry-run", "--model", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("vapo submit: --model: ")
    assert "tokenizer.json cannot be read" in told
    assert main(["submit", file, "--dry-run", "--url", "http://127.0.0.1:9"]) == 1
    assert "--model FOLDER looks without a gateway" in capsys.readouterr().err


@pytest.mark.usefixtures("url")
def test_eval_names_wrong_rows_and_leaves_out_long_ones(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": LONG, "answer": "2"}, {"prompt": "1+1=?", "answer": "2"}]
    file = write_jsonl(tmp_path / "file", rows)
    assert main(["eval", file]) == 1
    assert "line 1, prompt: has 449 tokens" in capsys.readouterr().err
    assert main(["eval", file, "--skip-too-long", "--max-new-tokens", "508"]) == 1
    assert "no problem is left: 2 lines are left out" in capsys.readouterr().err
    assert main(["eval", file, "--skip-too-long", "--deadline", "0.6", "-k", "3"]) == 1
    told = capsys.readouterr().err
    assert "1 line is left out\n  line 1, prompt: has 449 tokens" in told
    assert "0 of 3 responses" in told


@pytest.mark.parametrize("command", ["submit", "eval"])
@pytest.mark.parametrize("content", [b'{"prompt": "1", "answer": NaN}', b'{"prompt": "\\ud83d", "answer": "1"}'])
def test_what_json_cannot_hold_is_named_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, content: bytes
) -> None:
    file = tmp_path / "file.jsonl"
    file.write_bytes(b'{"prompt": "1", "answer": "1"}\n' + content)
    assert main([command, str(file)]) == 1
    assert "file.jsonl: 1 line is refused\n  line 2: is not JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--temperature", "nan"),
        ("--temperature", "-1"),
        ("--top-p", "inf"),
        ("--top-p", "-0.1"),
        ("--top-p", "nan"),
        ("--temperature", "warm"),
    ],
)
def test_numbers_of_eval_that_are_none_are_refused_with_status_2(tmp_path: Path, option: str, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["eval", str(tmp_path / "none.jsonl"), f"{option}={value}"])
    assert ended.value.code == 2


@pytest.mark.usefixtures("url")
def test_data_sets_are_listed_and_removed(
    gateway: RunningGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["datasets"]) == 0
    assert "no data sets" in capsys.readouterr().out
    file = write_jsonl(tmp_path / "file", [{"prompt": "1+1=?", "answer": "2"}])
    assert main(["submit", file, "--dataset", "held", "--split", "eval"]) == 0
    capsys.readouterr()
    assert main(["datasets"]) == 0
    title, row = capsys.readouterr().out.splitlines()
    assert title.split() == ["name", "split", "rows", "epoch", "served", "uploaded"]
    assert row.split()[:5] == ["held", "eval", "1", "-", "-"]
    assert main(["datasets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"][0]["name"] == "held"
    assert main(["datasets", "rm", "held"]) == 0
    assert "held is removed" in capsys.readouterr().out
    assert main(["datasets", "rm", "held"]) == 1
    assert "no data set 'held'" in capsys.readouterr().err
