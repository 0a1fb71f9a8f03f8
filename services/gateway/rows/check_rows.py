"""Looks at rows without a run: ``python -m services.gateway.rows.check_rows SETTINGS PURPOSE MOST``.

Rows come by standard input, the report leaves by standard output as one line of JSON. Started by
`vapo submit --dry-run --model`.
"""

from __future__ import annotations

import argparse
import json
import sys

from services.gateway.rows.all_or_none import Strictness
from services.gateway.rows.preview import check_report
from services.gateway.rows.task_builder import TaskBuilder
from services.gateway.rows.task_checks import dataset_check, prompt_check
from services.gateway.rows.verifier_names import VerifierNames
from vapo.data_files.reader import rows_of_text
from vapo.model.text.tokenizer import policy_tokenizer
from vapo.option_types import path
from vapo.settings import Settings, load_settings
from vapo.startup import exit_status_of


def main() -> int:
    """Report on standard input. Returns the exit status (`vapo.startup`)."""
    parser = argparse.ArgumentParser(prog="services.gateway.rows.check_rows")
    parser.add_argument("settings", type=path)
    parser.add_argument("purpose", choices=("dataset", "prompts"))
    parser.add_argument("most", type=int, help="errors to list")
    parser.add_argument("--skip-too-long", action="store_true")
    return exit_status_of("--model", lambda: report(parser.parse_args()))


def report(arguments: argparse.Namespace) -> int:
    """Write the report."""
    builder = builder_of(load_settings(arguments.settings))
    check = prompt_check(builder) if arguments.purpose == "prompts" else dataset_check(builder)
    rows = rows_of_text(sys.stdin.buffer.read())
    strictness = Strictness(arguments.skip_too_long, arguments.most)
    json.dump(check_report(builder, rows, check, strictness), sys.stdout)
    return 0


def builder_of(settings: Settings) -> TaskBuilder:
    """What makes tasks, with no verifier to ask for its names."""
    return TaskBuilder(settings, policy_tokenizer(settings.model), VerifierNames(tuple))


if __name__ == "__main__":
    sys.exit(main())
