"""`vapo init`: settings, tokens and passwords for parts that run in containers.

Invariant: what is refused leaves the files as they were.
"""

from __future__ import annotations

import argparse

from vapo.cli.errors import CommandError
from vapo.cli.settings_options import add_demo_option, add_settings_options, settings_from
from vapo.local.container_files import write_shared_files
from vapo.model.folder.contents import check_model_description
from vapo.option_types import path
from vapo.settings import Settings, SettingsError
from vapo.startup import file_trouble


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_settings_options(parser)
    add_demo_option(parser)
    parser.add_argument(
        "--directory",
        type=path,
        required=True,
        metavar="FOLDER",
        help="where to write; secrets that are there are kept",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the files, and say where they are."""
    settings = settings_from(arguments)
    check_model_that_is_here(settings)
    try:
        write_shared_files(settings, arguments.directory)
    except OSError as error:
        raise CommandError(f"cannot prepare {arguments.directory}: {file_trouble(error)}") from None
    except SettingsError as error:
        raise CommandError(f"cannot prepare {arguments.directory}: {error}") from None
    print(f"settings of run {settings.run.name} and its secrets are in {arguments.directory}")
    return 0


def check_model_that_is_here(settings: Settings) -> None:
    """Refuse what its parts would refuse of its description; a path that only they have is theirs.

    Raises:
        StartupError: the model's folder cannot be used, or not with these settings.
    """
    if settings.model.path.exists():
        check_model_description(settings.model.path, context_tokens=settings.model.max_context_tokens)
