"""The worked example of custom verifiers, found through its entry points."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from services.verifier import registry
from services.verifier.judgement.verdicts import Fault, Outcome

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "verifiers"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after ``pip install ./examples/verifiers``."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["vapo.verifiers"]
    information = tmp_path / "example_verifiers-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: example-verifiers\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in points.items()]
    (information / "entry_points.txt").write_text("\n".join(["[vapo.verifiers]", *lines]) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE))


def test_they_are_offered_beside_the_built_in_ones() -> None:
    assert {"exact", "math", "same_text", "tolerance"} <= set(registry.names())


@pytest.mark.parametrize(
    ("name", "response", "reference", "outcome"),
    [
        ("same_text", r"\boxed{The  cat}", "the cat", Outcome.CORRECT),
        ("same_text", r"\boxed{the dog}", "the cat", Outcome.WRONG),
        ("same_text", "the cat", "the cat", Outcome.NO_ANSWER),
        ("tolerance", r"\boxed{3.14}", "3.1416", Outcome.CORRECT),
        ("tolerance", r"\boxed{3}", "3.1416", Outcome.WRONG),
        ("tolerance", r"\boxed{pi}", "3.1416", Outcome.WRONG),
    ],
)
def test_their_verdicts(name: str, response: str, reference: str, outcome: Outcome) -> None:
    verifier = registry.create(name, {"rules": ("boxed",)})
    assert verifier.judge_cheaply(response, reference).outcome is outcome
    assert verifier.judge(response, reference).outcome is outcome


def test_a_reference_that_is_no_number_is_the_tasks_fault() -> None:
    verifier = registry.create("tolerance", {"rules": ("boxed",)})
    assert verifier.judge(r"\boxed{3}", "three").fault is Fault.REFERENCE
