"""Which settings `vapo up` starts a stack with."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from vapo.cli import up
from vapo.cli.errors import CommandError
from vapo.model_folder import ModelFolderError
from vapo.run_folder import RunFolder
from vapo.settings import Settings
from vapo.stack import PARTS, names_redis, resolve


def settings_for(*words: str) -> Settings:
    parser = argparse.ArgumentParser()
    up.add_arguments(parser)
    return up.chosen_settings(parser.parse_args(words))


def test_naming_a_run_gives_it_a_folder_and_changes_nothing_else() -> None:
    settings = settings_for("--run", "mine", "--set", "trainer.max_steps=7")
    assert (settings.run.name, settings.run.directory) == ("mine", Path("runs/mine"))
    assert settings.trainer.max_steps == 7
    assert not names_redis(settings)
    assert not any("port" in getattr(settings, part).model_fields_set for part in PARTS)


def test_a_setting_given_on_the_command_line_wins_over_the_runs_name(tmp_path: Path) -> None:
    settings = settings_for("--run", "2026", "--set", f"run.directory={tmp_path}")
    assert (settings.run.name, settings.run.directory) == ("2026", tmp_path)


def test_a_run_name_that_cannot_be_a_redis_prefix_is_refused() -> None:
    with pytest.raises(CommandError, match=r"run\.name = 'white space'"):
        settings_for("--run", "white space")


def test_a_model_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"--model=.* no config\.json"):
        settings_for("--model", str(tmp_path))


def test_two_stacks_that_start_together_share_no_port_but_perhaps_the_gateways(
    tmp_path: Path,
) -> None:
    """Ports chosen before any part is bound: the defaults would be free for both."""
    stacks = [resolve(settings_for(), RunFolder(tmp_path / name)) for name in ("a", "b")]
    ports = [getattr(one, part).port for one in stacks for part in PARTS if part != "gateway"]
    assert len(set(ports)) == len(ports)
