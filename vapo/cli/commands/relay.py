"""`vapo relay`: the relay of weights of this host, in the place of this process.

The relay is a service of its own and is not imported here; signals reach it directly.
"""

from __future__ import annotations

import argparse
import os

from vapo.cli.errors import CommandError
from vapo.processes.python_module import module_command
from vapo.settings import SettingsError, load_settings
from vapo.settings.options import add_config_and_set

MODULE = "services.relay"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_config_and_set(parser)


def run(arguments: argparse.Namespace) -> int:
    """Become the relay; returns only when the settings are refused."""
    try:
        load_settings(arguments.config, arguments.set)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    words = command(arguments)
    os.execv(words[0], words)  # noqa: S606 - this very interpreter, no shell


def command(arguments: argparse.Namespace) -> list[str]:
    """The words that start the relay."""
    words = module_command(MODULE)
    if arguments.config is not None:
        words += ["--config", str(arguments.config)]
    return words + [word for one in arguments.set for word in ("--set", one)]
