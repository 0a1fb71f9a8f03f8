"""The command line of every part."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vapo.option_types import path
from vapo.settings import Settings, load_settings


def parse_arguments(part: str, argv: Sequence[str] | None = None) -> Settings:
    """The command line of every part: ``--config FILE`` and ``--set section.key=value``.

    Raises:
        SettingsError: they are refused.
        SystemExit: status 2, wrong arguments.
    """
    parser = argparse.ArgumentParser(prog=part, description=f"vapo {part}")
    parser.add_argument("--config", type=path, help="settings file (TOML or JSON); see `vapo config`")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one setting; may be repeated"
    )
    arguments = parser.parse_args(argv)
    return load_settings(arguments.config, arguments.set)
