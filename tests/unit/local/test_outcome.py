"""`outcome.json`: what stands in a run's folder while it runs, and however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vapo.local.run_folders.run_outcome import OUTCOME_FILE, RunOutcome, Training, kept, note_training, read_outcome


def keeper_of(folder: Path) -> tuple[str, str | None, bool]:
    keeper = read_outcome(folder).keeper
    assert keeper is not None
    return keeper.state, keeper.reason, keeper.alive


def test_a_run_lives_while_it_is_kept_and_says_how_it_ended(tmp_path: Path) -> None:
    with kept(tmp_path):
        assert keeper_of(tmp_path) == ("running", None, True)
    assert keeper_of(tmp_path) == ("done", None, False)
    with pytest.raises(KeyboardInterrupt), kept(tmp_path):
        raise KeyboardInterrupt
    assert keeper_of(tmp_path) == ("stopped", None, False)
    with pytest.raises(RuntimeError), kept(tmp_path):
        raise RuntimeError("trainer died 5 times")
    assert keeper_of(tmp_path) == ("failed", "trainer died 5 times", False)


def test_trainer_and_keeper_leave_each_others_words_alone(tmp_path: Path) -> None:
    with kept(tmp_path):
        note_training(tmp_path, "finished", 3, 3)
    outcome = read_outcome(tmp_path)
    assert outcome.training is not None
    assert (outcome.training.state, outcome.training.step, outcome.training.max_steps) == ("finished", 3, 3)
    assert keeper_of(tmp_path)[0] == "done"


def test_a_killed_keeper_said_nothing_and_does_not_live(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from vapo.local.run_folders.run_outcome import kept\n"
        "with kept(pathlib.Path(sys.argv[1])):\n"
        "    print('kept', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert keeper_of(tmp_path) == ("running", None, True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
    assert keeper_of(tmp_path) == ("running", None, False)


def test_a_process_id_given_out_again_is_not_the_keeper(tmp_path: Path) -> None:
    with kept(tmp_path):
        fields = json.loads((tmp_path / OUTCOME_FILE).read_text())
        fields["keeper"]["born"] -= 1000.0
        (tmp_path / OUTCOME_FILE).write_text(json.dumps(fields))
        assert not keeper_of(tmp_path)[2]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keeper": {"other": 1}}'])
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / OUTCOME_FILE).write_text(text)
    assert read_outcome(tmp_path) == RunOutcome()


def test_a_file_that_cannot_be_written_is_logged_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = tmp_path / "gone"
    with kept(gone):
        note_training(gone, "failed", 1, 3, "disk full")
    assert "outcome.json cannot be written" in caplog.text
    assert read_outcome(gone) == RunOutcome()
    assert Training("running").step is None
