"""The `vapo` command line.

Each command is one module, named in `vapo.cli.registry`; only the module of the
command that is called gets imported, so that `vapo --help` answers at once.
"""

from __future__ import annotations

from vapo.cli.dispatch import main

__all__ = ["main"]
