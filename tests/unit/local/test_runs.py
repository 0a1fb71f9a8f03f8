"""The runs here: how each goes or ended, and which one a command takes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vapo.cli import main
from vapo.local.run_folders.known_runs import all_runs, choose, look, newest_step
from vapo.local.run_folders.run_folder import RunFolder, RunFolderError
from vapo.local.run_folders.run_outcome import kept, note_training
from vapo.settings import Settings, load_settings

CLOCK = 1.7e9


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAPO_URL", raising=False)
    return tmp_path


def settings_of(name: str) -> Settings:
    chosen = [f"run.name={name}", "trainer.max_steps=9", "gateway.port=18100"]
    return load_settings(environment={}, assignments=chosen)


def made(name: str, age: float, steps: int = 0) -> Path:
    """A run's folder, started `age` seconds before the clock."""
    folder = Path("runs") / name
    RunFolder(folder).write_settings(settings_of(name))
    os.utime(folder / "settings.json", (CLOCK - age, CLOCK - age))
    rows = [{"pretraining_step": 1}, *({"step": number + 1} for number in range(steps))]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@contextlib.contextmanager
def killed(folder: Path) -> Iterator[None]:
    code = (
        "import sys, time, pathlib\nfrom vapo.local.run_folders.run_outcome import kept\n"
        "with kept(pathlib.Path(sys.argv[1])):\n print(flush=True)\n time.sleep(60)\n"
    )
    words = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
    yield


def test_each_end_of_a_run_has_its_words() -> None:
    for name in ("finished", "asked", "interrupted", "failed", "killed", "unknown"):
        made(name, 0, steps=4)
    with kept(Path("runs/finished")):
        note_training(Path("runs/finished"), "finished", 9, 9)
    with kept(Path("runs/asked")):
        note_training(Path("runs/asked"), "asked to stop", 4, 9)
    with contextlib.suppress(KeyboardInterrupt), kept(Path("runs/interrupted")):
        note_training(Path("runs/interrupted"), "interrupted", 4, 9)
        raise KeyboardInterrupt
    with contextlib.suppress(RuntimeError), kept(Path("runs/failed")):
        note_training(Path("runs/failed"), "failed", 4, 9, "FloatingPointError: nan")
        raise RuntimeError("trainer died 5 times within 60 s")
    with killed(Path("runs/killed")):
        pass
    found = {run.name: (run.state, run.story) for run in all_runs()}
    assert found["finished"] == ("finished", "trainer finished at step 9 of 9")
    assert found["asked"] == ("finished", "trainer stopped as asked at step 4 of 9")
    assert found["interrupted"] == ("stopped", "stopped at step 4 of 9 by Ctrl-C or a signal")
    assert found["failed"] == ("failed", "failed at step 4 of 9: trainer died 5 times within 60 s")
    assert found["killed"] == ("killed", "killed at step 4 of 9")
    assert found["unknown"][0] == "unknown"


def test_a_live_run_comes_before_a_newer_one_and_of_two_the_newer() -> None:
    ui, old = made("ui", 100), made("old", 50)
    assert choose()[0].name == "old"
    with kept(ui):
        chosen, line = choose()
        assert (chosen.name, chosen.state) == ("ui", "live")
        assert "one of 2 runs" in line
        with kept(old):
            chosen, line = choose()
            assert chosen.name == "old"
            assert "newest of 2 live runs" in line
    assert "runs/old (finished)" in choose()[1] or choose()[0].name == "old"


def test_of_runs_that_ended_the_one_started_last_is_taken() -> None:
    for age, name in ((10, "old"), (0, "new"), (20, "oldest")):
        made(name, age)
    assert choose()[0].name == "new"
    assert [run.name for run in all_runs()] == ["new", "old", "oldest"]


def test_one_run_needs_no_line_about_the_choice() -> None:
    made("only", 0)
    assert choose()[1] == ""


@pytest.mark.parametrize("start", [".", "runs", "runs/ui"])
@pytest.mark.parametrize("named", ["ui", "{folder}"])
def test_a_run_is_named_by_folder_or_name_from_anywhere(
    here: Path, monkeypatch: pytest.MonkeyPatch, start: str, named: str
) -> None:
    folder = made("ui", 0)
    monkeypatch.chdir(here / start)
    run, line = choose(named.format(folder=here / folder))
    assert (run.name, line) == ("ui", "")
    assert [one.name for one in all_runs()] == ["ui"]


def test_settings_of_other_programs_are_no_runs(here: Path) -> None:
    for folder in (here, here / ".vscode", here / "app"):
        folder.mkdir(exist_ok=True)
        (folder / "settings.json").write_text('{"editor.tabSize": 4}')
    assert all_runs() == []
    with pytest.raises(RunFolderError, match="vapo up"):
        choose()


def test_a_wrong_name_lists_the_runs_there_are() -> None:
    made("ui", 0)
    with pytest.raises(RunFolderError, match=r"no run 'iu'.*runs/ui \(unknown\)"):
        choose("iu")
    Path("empty").mkdir()
    with pytest.raises(RunFolderError, match=r"empty holds no run.*runs/ui"):
        choose("empty")


def test_a_run_whose_settings_cannot_be_read_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    made("good", 10)
    broken = made("broken", 0)
    (broken / "settings.json").write_text("{")
    assert [run.name for run in all_runs()] == ["broken", "good"]
    assert "cannot be read" in look(RunFolder(broken)).story
    assert main(["runs"]) == 0
    assert "cannot be read" in capsys.readouterr().out


def test_the_newest_step_is_read_from_the_end_of_a_long_file(here: Path) -> None:
    assert newest_step(here) == 0
    row = {"step": 1, "filler": "x" * 500}
    text = "".join(json.dumps(row | {"step": number}) + "\n" for number in range(1, 1000))
    (here / "metrics.jsonl").write_text(text + '{"step": 1000')
    assert newest_step(here) == 999


def test_the_list_of_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    assert "vapo up" in capsys.readouterr().out
    live = made("live", 0, steps=4)
    done = made("done", 60, steps=9)
    with kept(done):
        note_training(done, "finished", 9, 9)
    with kept(live):
        assert main(["runs"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert main(["runs", "--json"]) == 0
        fields = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.split()[:3] for line in lines[1:]] == [["live", "live", "4/9"], ["done", "finished", "9/9"]]
    assert "http://127.0.0.1:18100" in lines[1]
    assert "trainer finished at step 9 of 9" in lines[2]
    assert [(one["name"], one["state"], one["step"]) for one in fields] == [
        ("live", "live", 4),
        ("done", "finished", 9),
    ]
