"""`vapo verify`: a file judged by real worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROWS = [
    {"id": 1, "gold": "1/2", "prediction": r"so it is \boxed{0.5}"},
    {"gold": "5", "prediction": "The answer is 6."},
    {"gold": r"\int_0^1 2x dx", "prediction": "1"},
    {"gold": 7, "prediction": "\u202e\ud800 7"},
]


def verify(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vapo.cli", "verify", *words], capture_output=True, text=True, timeout=280, check=False
    )


def write(path: Path, rows: list[object]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_same_rows_come_back_with_verdict_answer_and_reason(tmp_path: Path) -> None:
    output = tmp_path / "judged.jsonl"
    ended = verify(write(tmp_path / "rows.jsonl", [*ROWS]), "--output", str(output))
    assert ended.returncode == 0, ended.stderr
    judged = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["verdict"] for row in judged] == ["correct", "wrong", "correct", "correct"]
    assert judged[0]["id"] == 1
    assert judged[0]["extracted"] == "0.5"
    assert all(row["reason"] for row in judged)
    assert "3 correct, 1 wrong" in ended.stderr


def test_a_box_can_be_required(tmp_path: Path) -> None:
    ended = verify(write(tmp_path / "rows.jsonl", [*ROWS[:2]]), "--rules", "boxed")
    verdicts = [json.loads(line)["verdict"] for line in ended.stdout.splitlines()]
    assert verdicts == ["correct", "no_answer"]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    rows = Path(write(tmp_path / "rows.jsonl", [ROWS[1]]))
    rows.write_bytes(b"\xef\xbb\xbf" + rows.read_bytes())
    assert json.loads(verify(str(rows)).stdout)["verdict"] == "wrong"


def test_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    ended = verify(write(tmp_path / "rows.jsonl", [ROWS[0], {"gold": "5"}]))
    assert ended.returncode == 1
    assert "rows.jsonl:2" in ended.stderr
    assert "prediction" in ended.stderr
    assert verify(str(tmp_path / "none.jsonl")).returncode == 1


def test_output_that_cannot_be_written_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [ROWS[0]])
    ended = verify(rows, "--output", str(tmp_path / "none" / "judged.jsonl"))
    assert ended.returncode == 1
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_nothing_is_said_when_nobody_reads_on(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [ROWS[0]] * 5)
    read, write_end = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "vapo.cli", "verify", rows],
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            timeout=280,
            check=False,
        )
    finally:
        os.close(write_end)
    assert ended.returncode == 1
    assert ended.stderr == ""


def test_true_is_no_answer(tmp_path: Path) -> None:
    ended = verify(write(tmp_path / "rows.jsonl", [{"gold": "1", "prediction": True}]))
    assert ended.returncode == 1
    assert "must be a string or a number" in ended.stderr
