"""Whatever lies where somebody stands, the installed code runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vapo.local.environment import part_environment
from vapo.local.stack import Shape, launcher

MINE = 'print("a file of my own runs"); raise SystemExit(0)\n'
NAMES = ("trainer", "vapo", "redis", "torch", "httpx", "vllm", "transformers", "signal", "json")


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with files named as our packages, libraries and the standard library are."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(MINE)
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text(MINE)
    return tmp_path


def ended(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**part_environment({**os.environ, "PYTHONPATH": ":"}, on_gpu=False), **environment},
    )


@pytest.mark.parametrize(
    ("part", "ranks"),
    [
        ("gateway", 1),
        ("verifier", 1),
        ("generator", 1),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("value", 1), ("trainer", 1), ("trainer", 2))),
    ],
)
def test_a_part_is_ours(part: str, ranks: int, crowded: Path) -> None:
    done = ended([*launcher(part, Shape(trainer_ranks=ranks)), "--config", "none.json"], crowded)
    assert "cannot read the settings file none.json" in done.stderr, done.stderr[-2000:]
    assert "of my own" not in done.stdout + done.stderr
    assert done.returncode == os.EX_CONFIG
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("search_path", ["", ":", ".:"])
def test_a_command_is_ours(search_path: str, crowded: Path) -> None:
    """As the console script begins: without the current folder, but for the search path."""
    (crowded / "signal.py").unlink()
    (crowded / "json.py").unlink()
    (crowded / "vapo.py").unlink()
    program = "import sys; from vapo.cli import main; sys.exit(main())"
    done = ended([sys.executable, "-P", "-c", program, "status", "--run", "none"], crowded, PYTHONPATH=search_path)
    assert done.returncode == 1, done.stderr
    assert "of my own" not in done.stdout + done.stderr
    assert done.stderr.startswith("vapo status: no run 'none'")
    assert done.stderr.count("\n") == 1
