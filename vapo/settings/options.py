"""The options by which every command and every part takes settings."""

from __future__ import annotations

import argparse

from vapo.option_types import path


def add_config_and_set(parser: argparse.ArgumentParser) -> None:
    """Add ``--config FILE`` and ``--set SECTION.KEY=VALUE``, the arguments of ``load_settings``."""
    parser.add_argument(
        "--config", type=path, metavar="FILE", help="settings file, TOML or JSON; `vapo config` writes one"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="one setting; may be repeated and wins over the file",
    )
