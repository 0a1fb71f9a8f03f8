"""The papers' settings beside ours, and what ``vapo config --preset`` shows of it."""

from __future__ import annotations

import json

import pytest

from vapo.cli import main
from vapo.settings import Settings, dump_settings, load_settings
from vapo.settings.papers import PAPER, REASONS, SILENT, Difference, differences_from_paper
from vapo.settings.presets import PRESETS, preset

OURS = {"algorithm.overlong_buffer_tokens"}
"""Settings of the algorithm in which a preset differs from its paper, each with a reason."""


def _differences(name: str, *assignments: str) -> dict[str, Difference]:
    alone = dump_settings(load_settings(base=preset(name), environment={}))
    tree = dump_settings(load_settings(None, assignments, {}, preset(name)))
    return {found.setting: found for found in differences_from_paper(name, tree, alone)}


def test_every_preset_has_its_paper_and_every_name_is_a_setting() -> None:
    assert PAPER.keys() == PRESETS.keys()
    tree = dump_settings(Settings())
    for setting in {key for paper in PAPER.values() for key in paper} | SILENT.keys():
        section, key = setting.split(".")
        assert key in tree[section], setting


@pytest.mark.parametrize("name", PRESETS)
def test_the_algorithm_of_a_preset_is_the_paper_s(name: str) -> None:
    found = [row.setting for row in _differences(name).values() if not row.silent]
    assert {setting for setting in found if setting.startswith("algorithm.")} <= OURS
    assert {setting for setting in found if not {setting, f"{name} {setting}"} & REASONS.keys()} == set()


def test_vanilla_ppo_is_table_1_s_baseline_to_its_size() -> None:
    found = {row.setting for row in _differences("vanilla_ppo").values() if not row.silent}
    assert found == {"ledger.max_staleness", "trainer.critic_version_lag"}


def test_the_defaults_are_the_papers_but_for_what_is_told() -> None:
    found = {row.setting for row in _differences("vapo").values() if not row.silent}
    assert found == {"ledger.max_staleness", "trainer.critic_version_lag", "trainer.max_steps"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_of_the_algorithm_is_compared_or_told_to_be_silent(name: str) -> None:
    """But for those that the method does not read."""
    unread = {
        "algorithm.correct_positive_examples",
        "algorithm.correction_low",
        "algorithm.correction_high",
        "algorithm.overlong_buffer_tokens",
        "algorithm.group_standard_deviation",
        "algorithm.lambda_policy",
    }
    if PAPER[name]["algorithm.estimator"] == "group":
        unread |= {f"algorithm.{key}" for key in ("decoupled_gae", "lambda_critic", "length_adaptive_lambda", "alpha")}
    elif name in ("ppo", "vanilla_ppo"):
        unread |= {"algorithm.alpha", "algorithm.lambda_critic"}
    tree = dump_settings(Settings())["algorithm"]
    told = PAPER[name].keys() | SILENT.keys()
    assert {f"algorithm.{key}" for key in tree} - told <= unread


def test_what_the_user_changed_is_told_apart() -> None:
    found = _differences("vapo", "algorithm.alpha=0.5", "trainer.gradient_clip=2")
    assert (found["algorithm.alpha"].here, found["algorithm.alpha"].paper) == (0.5, 0.05)
    assert found["algorithm.alpha"].why == found["trainer.gradient_clip"].why == "your settings"


def test_an_ablation_names_its_piece() -> None:
    found = _differences("without_clip_higher")["algorithm.clip_high"]
    assert (found.here, found.paper) == (0.2, 0.28)
    assert "without_clip_higher" in found.why


def test_the_command_shows_differences_of_a_preset_and_the_tree_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--preset", "dapo"]) == 0
    shown = capsys.readouterr().out
    assert "sampling.max_new_tokens" in shown
    assert "20480" in shown
    assert main(["config", "--preset", "dapo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["algorithm"]["estimator"] == "group"
    assert main(["config", "--preset", "demo"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["name"] == "demo"
    assert main(["config"]) == 0
    assert json.loads(capsys.readouterr().out)["algorithm"]["estimator"] == "gae"
