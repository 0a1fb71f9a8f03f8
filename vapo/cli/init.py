"""`vapo init`: settings, tokens and passwords for parts that run in containers."""

from __future__ import annotations

import argparse

from vapo.cli.errors import CommandError
from vapo.cli.settings_options import add_settings_options, settings_from
from vapo.container_run import write_shared_files
from vapo.demo.settings import demo_base
from vapo.option_types import path
from vapo.settings import SettingsError
from vapo.startup import file_trouble


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_settings_options(parser)
    parser.add_argument("--demo", action="store_true", help="start from the demo's settings")
    parser.add_argument(
        "--directory",
        type=path,
        required=True,
        metavar="FOLDER",
        help="where to write; secrets that are there are kept",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the files, and say where they are."""
    settings = settings_from(arguments, demo_base() if arguments.demo else None)
    try:
        write_shared_files(settings, arguments.directory)
    except OSError as error:
        raise CommandError(
            f"cannot prepare {arguments.directory}: {file_trouble(error)}") from None
    except SettingsError as error:
        raise CommandError(f"cannot prepare {arguments.directory}: {error}") from None
    print(f"settings of run {settings.run.name} and its secrets are in {arguments.directory}")
    return 0
