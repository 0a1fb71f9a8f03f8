"""`vapo verify`: judge a file of answers with the verifier's own rules, without a running stack.

The verifier is a service of its own and is not imported here: it runs as a process.
"""

from __future__ import annotations

import argparse
import subprocess

from vapo.cli.errors import CommandError
from vapo.installation import check_installed
from vapo.option_types import path, whole
from vapo.processes.python_module import module_command

MODULE = "services.verifier.judge_file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("rows", type=path, metavar="FILE.jsonl", help="rows with the fields gold and prediction")
    parser.add_argument("--output", type=path, metavar="JUDGED.jsonl", help="default: standard output")
    parser.add_argument("--verifier", default="math", help="name of the verifier (default: math)")
    parser.add_argument(
        "--rules",
        choices=("any", "boxed", "response"),
        default="any",
        help="where an answer may stand: boxed (only in a box, as in training), response (a box "
        "or the end of a whole response), any (also a bare answer; the default)",
    )
    parser.add_argument("--workers", type=whole(1), default=1, help="worker processes (default: 1)")


def run(arguments: argparse.Namespace) -> int:
    """Write the same rows with verdict, extracted answer and reason."""
    if not arguments.rows.is_file():
        raise CommandError(f"there is no file {arguments.rows}")
    check_installed(["verifier"])
    return subprocess.run(command(arguments), check=False).returncode


def command(arguments: argparse.Namespace) -> list[str]:
    """The words that start the verifier on the file."""
    words = module_command(
        MODULE,
        str(arguments.rows),
        "--verifier",
        arguments.verifier,
        "--rules",
        arguments.rules,
        "--workers",
        str(arguments.workers),
    )
    return words if arguments.output is None else [*words, "--output", str(arguments.output)]
