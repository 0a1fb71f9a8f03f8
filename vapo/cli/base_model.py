"""`vapo base-model`: the supervised warm-up that makes the demo's base checkpoint, from a seed."""

from __future__ import annotations

import argparse
import subprocess
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command; those it does not know are the recipe's own."""
    parser.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="--out FOLDER [OPTION ...]",
        help="options of the recipe; all are shown with: vapo base-model -- --help",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the recipe in a process of its own, since this package does not import the trainer."""
    options = [word for word in arguments.options if word != "--"]
    return subprocess.run([sys.executable, "-m", "trainer.supervised", *options]).returncode
