"""`vapo base-model`: the recipe as its own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from transformers import AutoModelForCausalLM


def base_model(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vapo.cli", "base-model", *words],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_a_checkpoint_is_made_with_the_options_of_the_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    options = ("--batch-size", "2", "--held-out-problems", "0")
    ended = base_model("--out", str(folder), "--seed", "3", "--steps", "2", "--", *options)
    assert ended.returncode == 0, ended.stderr
    AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    command = "vapo base-model --out base --seed 3 --steps 2 --batch-size 2"
    assert command in (folder / "README.md").read_text()


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    ended = base_model("--out", str(tmp_path))
    assert ended.returncode == 1
    assert "name a new folder" in ended.stderr
