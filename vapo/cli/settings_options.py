"""The options by which every command takes settings: file, preset, single values."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vapo.cli.errors import CommandError
from vapo.option_types import path
from vapo.settings import Settings, SettingsError, load_settings
from vapo.settings.presets import preset


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, `--preset` and `--set` to a command."""
    parser.add_argument("--config", type=path, metavar="FILE", help="settings file, TOML or JSON")
    parser.add_argument(
        "--preset", metavar="NAME", help="vapo (default), ppo, vanilla_ppo, grpo, dapo, bpco, sao, or without_PIECE"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="one setting; may be repeated and wins over the file",
    )


def settings_from(arguments: argparse.Namespace, base: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
    """Resolve the settings a command was given; the preset lies over `base`.

    Raises:
        CommandError: an unknown preset or key, an unreadable file or an impossible value.
    """
    merged: dict[str, dict[str, Any]] = {name: dict(keys) for name, keys in (base or {}).items()}
    try:
        for section, keys in preset(arguments.preset or "vapo").items():
            merged.setdefault(section, {}).update(keys)
        return load_settings(arguments.config, arguments.set, base=merged)
    except (SettingsError, ValueError) as error:
        raise CommandError(str(error)) from None
