"""A look at problems before they are sent: what the model would see, and what would be refused.

The gateway looks with the model and settings of its run; with `--model` a process of its own does,
without a gateway. Both run the same checks that take rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from vapo.cli.connection_options import gateway
from vapo.cli.errors import CommandError
from vapo.cli.sending.problem_file import ProblemFile, errors_shown
from vapo.cli.sending.row_errors import ALL_ROWS, MOST_ROWS_COUNTED, ROWS_SHOWN, in_file, told
from vapo.cli.sending.row_requests import answer_timeout, as_lines, row_parameters
from vapo.cli.settings_options import settings_from
from vapo.installation import check_installed
from vapo.processes.python_module import module_command
from vapo.settings import Settings

MODULE = "services.gateway.rows.check_rows"
Purpose = Literal["dataset", "prompts"]
SECTIONS = {"model", "sampling", "verifier"}
"""Of the settings: what judges a row."""


def check_problems(arguments: argparse.Namespace, problems: ProblemFile, purpose: Purpose) -> dict[str, Any]:
    """The report of `POST /v1/datasets/check`, its rows numbered as in the file.

    Raises:
        CommandError: the gateway does not answer, or the model's folder cannot be used.
    """
    content = as_lines(problems)
    if getattr(arguments, "model", None):
        report = _looked_at_here(arguments, content, purpose)
    else:
        report = _asked(arguments, content, purpose)
    report["errors"] = in_file(report["errors"], problems.numbers)
    report["examples"] = in_file(report["examples"], problems.numbers)
    return report


def left_in(
    arguments: argparse.Namespace,
    problems: ProblemFile,
    purpose: Purpose,
    imposed: Mapping[str, Any] = MappingProxyType({}),
) -> ProblemFile:
    """The problems without those that the gateway would refuse, as far as that was asked for with
    `--skip-wrong` or `--skip-too-long`; says on stderr which are left out. They are looked at with
    the fields ``imposed`` on each of them.

    Raises:
        CommandError: the gateway does not answer, or none would be left.
    """
    all_rows = argparse.Namespace(**{**vars(arguments), "errors": True, "skip_too_long": False})
    looked_at = replace(problems, problems=[{**row, **imposed} for row in problems.problems])
    report = check_problems(all_rows, looked_at, purpose)
    errors = [error for error in report["errors"] if arguments.skip_wrong or error.get("too_long")]
    if not errors:
        return problems
    listed = told(problems.unit, errors, errors_shown(arguments), left_out=True)
    kept = problems.without({error["row"] for error in errors})
    if not kept.problems:
        raise CommandError(f"{problems.file}: no problem is left: {listed}")
    print(f"{problems.file}: {listed}", file=sys.stderr)
    return kept


def describe(report: dict[str, Any], problems: ProblemFile, shown: int | None = ROWS_SHOWN) -> list[str]:
    """The report as a person reads it."""
    refused, left_out = report["refused"], report["too_long"]
    skipped = left_out - sum(bool(error.get("too_long")) for error in report["errors"])
    lines = [
        f"{problems.file}: {report['accepted']} of {len(problems.problems)} problems would be taken"
        + (f", {refused} refused" if refused else "")
        + (f", {skipped} too long left out" if skipped else "")
    ]
    lengths, room = report["prompt_tokens"], report["largest_prompt_tokens"]
    if lengths:
        lines.append(
            f"prompt tokens: {lengths['min']} to {lengths['max']}, mean {lengths['mean']:.1f}; at most {room} fit"
        )
    for example in report["examples"]:
        lines += [
            "",
            f"--- {problems.unit} {example['row']}: {example['tokens']} tokens, answer "
            f"{example['answer']!r}; the model sees:",
            example["text"],
        ]
    if report["errors"]:
        lines += ["", told(problems.unit, report["errors"], shown)]
    return [*lines, "", "dry run: nothing was sent"]


def _asked(arguments: argparse.Namespace, content: bytes, purpose: Purpose) -> dict[str, Any]:
    parameters = {**row_parameters(arguments), "purpose": purpose}
    try:
        with gateway(arguments) as client:
            client.doing = "the gateway looks at the problems"
            return client.call(
                "POST", "/v1/datasets/check", params=parameters, content=content, timeout=answer_timeout(content)
            )
    except CommandError as error:
        hint = "; --model FOLDER looks without a gateway" if hasattr(arguments, "model") else ""
        raise CommandError(f"{error}{hint}") from None


def _looked_at_here(arguments: argparse.Namespace, content: bytes, purpose: Purpose) -> dict[str, Any]:
    check_installed(("gateway",))
    settings = settings_from(arguments, {"model": {"path": str(arguments.model)}})
    most = ALL_ROWS if arguments.errors else MOST_ROWS_COUNTED
    with tempfile.TemporaryDirectory(prefix="vapo-") as folder:
        config = Path(folder) / "settings.json"
        config.write_text(_sections(settings), encoding="utf-8")
        skip = ["--skip-too-long"] if arguments.skip_too_long else []
        words = module_command(MODULE, str(config), purpose, str(most), *skip)
        done = subprocess.run(words, input=content, capture_output=True, check=False)
    if done.returncode:
        raise CommandError(done.stderr.decode("utf-8", "replace").strip() or f"{MODULE} failed")
    return json.loads(done.stdout)


def _sections(settings: Settings) -> str:
    return json.dumps(settings.model_dump(mode="json", include=SECTIONS, exclude_none=True))
