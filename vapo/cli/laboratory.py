"""Commands whose programs live in ``lab/``, the laboratory of a checkout; no wheel contains it.

Invariant: the product imports nothing of ``lab``. The laboratory's program takes this process's
place, with the checkout importable and every word as it was given, so options, help, signals and
exit status are its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from vapo.cli.errors import CommandError
from vapo.cli.registry import Command
from vapo.installation import check_installed
from vapo.processes.python_module import module_command

CHECKOUT = Path(__file__).resolve().parents[2]


def is_here() -> bool:
    """Whether this package is run from a checkout."""
    return all((CHECKOUT / name).is_file() for name in ("pyproject.toml", "lab/__init__.py"))


def become(command: Command, words: Sequence[str]) -> NoReturn:
    """Replace this process by the command's program.

    Raises:
        CommandError: this installation has no laboratory.
        NotInstalledError: what the programs need is missing.
    """
    if not is_here():
        raise CommandError(
            "belongs to a checkout of the project, and the installed package has no lab/; "
            f"clone the project, run `make environment` there and then `.venv/bin/vapo {command.name}`"
        )
    check_installed(["trainer"])
    searched = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    program = module_command(command.module, *words)
    sys.stdout.flush()
    os.execve(program[0], program, {**os.environ, "PYTHONPATH": os.pathsep.join(searched)})  # noqa: S606 - no shell
