"""What runs at a commit, on a host and by hand is the same: `make lint` and the whole suite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def linters(text: str) -> set[str]:
    """The modules started: ruff's with their command."""
    return {found.strip() for found in re.findall(r"-m ((?:ruff \w+)|mypy)", text)}


def test_the_hooks_are_those_of_make_lint() -> None:
    (repository,) = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    hooks = linters(" ".join(hook["entry"] for hook in repository["hooks"]))
    assert hooks == linters(MAKEFILE.split("\nlint:")[1].split("\n\n")[0]) == {"ruff format", "ruff check", "mypy"}


def test_the_workflow_runs_what_a_developer_runs() -> None:
    steps = load(".github/workflows/ci.yml")["jobs"]["ci"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.findall(r"^make (\w+)", script, re.MULTILINE) == ["lint", "test"]


def test_the_commands_of_the_contributors_page_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)", re.sub(r"make (and|to)\b", "", text)))
    assert targets >= {"environment", "lint", "test", "test-unit"}
    assert [target for target in targets if f"\n{target}:" not in MAKEFILE] == []
