"""The options by which every command takes settings: file, preset, single values."""

from __future__ import annotations

import argparse

from vapo.cli.errors import CommandError
from vapo.settings import Settings, SettingsError, load_settings
from vapo.settings.loader import merged
from vapo.settings.options import add_config_and_set
from vapo.settings.presets import Preset, preset


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, `--preset` and `--set` to a command."""
    add_config_and_set(parser)
    parser.add_argument(
        "--preset",
        action="append",
        default=[],
        metavar="NAME",
        help="vapo (default), ppo, vanilla_ppo, grpo, dapo, bpco, sao, without_PIECE; demo may lie under one",
    )


def add_demo_option(parser: argparse.ArgumentParser) -> None:
    """Add `--demo`, another spelling of `--preset demo`."""
    parser.add_argument("--demo", action="append_const", dest="preset", const="demo", help="the same as --preset demo")


def method_from(arguments: argparse.Namespace) -> str | None:
    """The preset that is not the demo's; of several the last."""
    methods = [name for name in arguments.preset if name != "demo"]
    return methods[-1] if methods else None


def settings_from(arguments: argparse.Namespace, base: Preset | None = None) -> Settings:
    """Resolve the settings a command was given; its presets lie over ``base``.

    Raises:
        CommandError: an unknown preset or key, an unreadable file or an impossible value.
    """
    demo = ["demo"] if "demo" in arguments.preset else []
    try:
        presets = preset(*demo, method_from(arguments) or "vapo")
        return load_settings(arguments.config, arguments.set, base=merged(base or {}, presets))
    except (SettingsError, ValueError) as error:
        raise CommandError(str(error)) from None
