"""How a module of this installation is started as a program.

Invariant: neither the current folder nor an empty entry of ``PYTHONPATH`` is searched, in the
program and in whatever it starts: a ``trainer.py``, ``services/`` or ``redis.py`` that lies where
somebody stands is not taken for ours or for a library's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""For programs that start others: torchrun's ranks, an engine's processes."""


def module_command(module: str, *words: str) -> list[str]:
    """The command line that runs ``module`` with this interpreter."""
    return [sys.executable, "-P", "-m", module, *words]


def without_current_folder(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the entries of ``PYTHONPATH`` that mean the current folder."""
    cleaned = dict(environment)
    if "PYTHONPATH" in cleaned:
        named = [entry for entry in cleaned.pop("PYTHONPATH").split(os.pathsep) if entry]
        absolute = [entry for entry in named if os.path.isabs(entry)]
        cleaned |= {"PYTHONPATH": os.pathsep.join(absolute)} if absolute else {}
    return cleaned
