"""`vapo base-model`: the supervised warm-up that makes the demo's base checkpoint, from a seed.

The recipe belongs to the trainer and is not imported here: it runs as a process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from vapo.cli.errors import CommandError
from vapo.installation import check_installed
from vapo.option_types import path, whole
from vapo.processes.python_module import module_command
from vapo.startup import check_writable

MODULE = "lab.base_model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--out", type=path, required=True, metavar="FOLDER", help="new folder for the checkpoint")
    parser.add_argument("--seed", type=whole(0), default=0, help="the shipped checkpoint's is 0")
    parser.add_argument("--steps", type=whole(1), help="optimiser steps (default: the recipe's)")
    parser.add_argument(
        "recipe", nargs="*", metavar="-- OPTION", help=f"after --, any other option of: python -m {MODULE} --help"
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the checkpoint; it takes some minutes on one core."""
    if arguments.out.exists():
        raise CommandError(f"{arguments.out} exists; name a new folder for the checkpoint")
    check_writable("--out", arguments.out.absolute().parent)
    check_installed(["trainer"])
    return subprocess.run(command(arguments), env=with_checkout(), check=False).returncode


def command(arguments: argparse.Namespace) -> list[str]:
    """The words that start the recipe."""
    words = module_command(MODULE, "--out", str(arguments.out))
    words += ["--seed", str(arguments.seed)]
    words += ["--steps", str(arguments.steps)] if arguments.steps is not None else []
    return [*words, *arguments.recipe]


def with_checkout() -> dict[str, str]:
    """This environment, with the laboratory beside the product importable."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
