"""`vapo config`: the settings a run would have, and where they differ from the paper's."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from vapo.cli.settings_options import add_settings_options, settings_from
from vapo.demo.settings import demo_base
from vapo.settings import Settings, dump_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_settings_options(parser)
    parser.add_argument("--demo", action="store_true", help="start from the demo's settings")
    parser.add_argument(
        "--paper", action="store_true", help="show only what differs from the paper's values"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the tree as JSON, or the differences one a line."""
    settings = settings_from(arguments, demo_base() if arguments.demo else None)
    if not arguments.paper:
        print(json.dumps(dump_settings(settings), indent=2))
        return 0
    rows = list(differences(dump_settings(Settings()), dump_settings(settings)))
    for name, default, value in rows:
        print(f"{name} = {json.dumps(value)}    (default: {json.dumps(default)})")
    if not rows:
        print("nothing differs from the defaults, which are the paper's where it gives a value")
    return 0


def differences(
    defaults: dict[str, Any], settings: dict[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Name, default and value of every setting that is not the default."""
    for section, keys in settings.items():
        for key, value in keys.items():
            if value != defaults[section][key]:
                yield f"{section}.{key}", defaults[section][key], value
