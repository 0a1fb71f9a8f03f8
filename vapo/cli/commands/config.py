"""`vapo config`: the settings a run would have; of a preset, where they differ from the paper's."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from vapo.cli.output.table import aligned
from vapo.cli.settings_options import add_demo_option, add_settings_options, method_from, settings_from
from vapo.settings import dump_settings, load_settings
from vapo.settings.papers import Difference, differences_from_paper, notes
from vapo.settings.presets import preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_settings_options(parser)
    add_demo_option(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--paper",
        action="store_true",
        help="show what differs from the paper's values, and why (with --preset: the default)",
    )
    shown.add_argument("--json", action="store_true", help="show the whole tree, also of a preset")


def run(arguments: argparse.Namespace) -> int:
    """Print the tree as JSON, or the differences from the paper as a table."""
    settings = settings_from(arguments)
    tree = dump_settings(settings)
    method = method_from(arguments)
    if arguments.json or not (arguments.paper or method):
        print(json.dumps(tree, indent=2))
        return 0
    name = method or "vapo"
    alone = dump_settings(load_settings(base=preset(name), environment={}))
    found = list(differences_from_paper(name, tree, alone))
    print(f"Preset {name}. Other than in the paper:\n")
    print(_table([row for row in found if not row.silent]))
    print("\nWhere the paper is silent:\n")
    print(_table([row for row in found if row.silent]))
    for note in notes(name, settings.algorithm.estimator):
        print(f"\n{note}")
    return 0


def _table(rows: Sequence[Difference]) -> str:
    """Columns as wide as their widest cell; the reason last."""
    lines = [("setting", "here", "paper", "why")]
    lines += [(row.setting, _shown(row.here), "?" if row.silent else _shown(row.paper), row.why) for row in rows]
    return "\n".join(aligned(lines))


def _shown(value: Any) -> str:
    return "unset" if value is None else json.dumps(value)
