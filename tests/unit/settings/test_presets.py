"""Presets on the command line, and files that say the same as one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vapo.cli import main
from vapo.settings import load_settings
from vapo.settings.presets import preset

ROOT = Path(__file__).parents[3]


def _config(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, object]]:
    assert main(["config", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_demo_is_a_preset_and_its_option_another_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    demo = _config(capsys, "--preset", "demo")
    assert demo == _config(capsys, "--demo")
    assert (demo["run"]["name"], demo["algorithm"]["alpha"]) == ("demo", 0.5)


@pytest.mark.parametrize("words", [("--demo", "--preset", "grpo"), ("--preset", "grpo", "--preset", "demo")])
def test_a_method_lies_over_the_demos_sizes(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    found = _config(capsys, *words)
    assert (found["run"]["name"], found["algorithm"]["estimator"]) == ("demo", "group")
    assert found["value_pretraining"] == {**found["value_pretraining"], "enabled": False, "max_steps": 4}


def test_of_several_methods_the_last_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert _config(capsys, "--preset", "grpo", "--preset", "vapo") == _config(capsys)


def test_the_cluster_without_a_gpu_runs_the_demo() -> None:
    file = ROOT / "deploy" / "k8s" / "overlays" / "cpu" / "settings.toml"
    assert load_settings(file, environment={}) == load_settings(base=preset("demo"), environment={})
