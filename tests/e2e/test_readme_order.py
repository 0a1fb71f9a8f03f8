"""README's commands for one's own model and data, read from it and run in its order."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vapo.demo.chain.problem_sets import problem_set
from vapo.demo.chain.splits import Split
from vapo.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = "/path/to/huggingface/folder"
DEADLINE_SECONDS = 400.0
STOP_SECONDS = 60.0


def commands() -> list[list[str]]:
    """The words of each `vapo` command in README's section, in order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Your own model and data\n\n```bash\n(.*?)```", readme, re.DOTALL)
    assert block is not None, "README has no such section"
    model = str(load_settings(environment={}).model.path)
    lines = [shlex.split(line, comments=True) for line in block.group(1).splitlines()]
    named = [[model if word == PLACEHOLDER else word for word in words] for words in lines]
    return [words[1:] for words in named if words[:1] == ["vapo"]]


def test_readmes_order_is_the_one_people_need() -> None:
    order = list(dict.fromkeys(words[0] for words in commands()))
    assert order == ["up", "submit", "watch", "eval", "export"]


def vapo(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "vapo.cli", *words]


def environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("VAPO_")}


@contextmanager
def up(words: list[str], folder: Path) -> Iterator[Callable[[str], None]]:
    """`vapo up` in the first terminal, until Ctrl-C; gives a wait for what it shows."""
    log = folder / "up.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            vapo(*words),
            cwd=folder,
            stdout=output,
            stderr=output,
            env=environment(),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process,
    ):
        try:
            wait_for("ready: http", log, process)
            yield lambda text: wait_for(text, log, process)
            assert process.poll() is None, f"vapo up has ended:\n{log.read_text()}"
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(timeout=STOP_SECONDS)
    assert process.returncode == 130


def wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while text not in log.read_text():
        assert process.poll() is None, f"vapo up has ended:\n{log.read_text()}"
        assert time.monotonic() < until, f"no {text!r} in time:\n{log.read_text()}"
        time.sleep(0.2)


def done(words: list[str], folder: Path) -> str:
    """What a command of the second terminal prints; it ends well and in time."""
    ended = subprocess.run(
        vapo(*words),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
        env=environment(),
    )
    assert ended.returncode == 0, f"{words}: {ended.stdout}\n{ended.stderr}"
    return ended.stdout


def write_gsm8k(file: Path, split: Split, count: int) -> None:
    """Problems of the demo in GSM8K's columns."""
    rows = [
        {"question": problem.prompt, "answer": f"Step by step.\n#### {problem.answer}"}
        for problem in problem_set(split, count, seed=3)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(1200)
def test_the_commands_of_the_readme_work_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    write_gsm8k(tmp_path / "train.jsonl", Split.TRAIN, 40)
    write_gsm8k(tmp_path / "test.jsonl", Split.HELD_OUT, 6)
    first, *others = commands()
    with up(first, tmp_path) as shows:
        said = {words[0]: done(words, tmp_path) for words in others}
        shows("trainer finished at step 3 of 3; evaluations, chat and export go on")
        status = done(["status"], tmp_path)
        assert "live" in done(["runs"], tmp_path)
    assert "trainer finished at step 3 of 3" in said["watch"]
    assert max(map(len, said["watch"].splitlines()[1:])) <= 100
    assert "trainer finished, step 3 of 3" in status
    assert re.search(r"^avg@4 \d\.\d{4} ± ", said["eval"], re.MULTILINE)
    assert (tmp_path / "my-model" / "model.safetensors").stat().st_size > 0
    assert "trainer finished at step 3 of 3" in done(["status"], tmp_path)
    assert "finished" in done(["runs"], tmp_path)
    assert "-0.0000" not in done(["metrics"], tmp_path)
