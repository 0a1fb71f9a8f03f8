"""`vapo submit`: problems of a file, as prompts for training or as a named data set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from vapo.cli.connection_options import add_connection_options, gateway
from vapo.cli.errors import CommandError, UsageError
from vapo.cli.sending.dry_run import Purpose, check_problems, describe, left_in
from vapo.cli.sending.problem_file import ProblemFile, add_mapping_options, errors_shown, problems_from, repeated_ids
from vapo.cli.sending.row_errors import told
from vapo.cli.sending.row_requests import answer_timeout, as_lines, refused, row_parameters
from vapo.cli.settings_options import add_settings_options
from vapo.client import GatewayClient, GatewayError
from vapo.option_types import path

PROMPTS_PER_REQUEST = 500
CHARACTERS_PER_REQUEST = 2**21
PATIENCE_SECONDS = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("file", type=path, help="JSON Lines, a JSON array, CSV or Parquet")
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="keep the file as a data set, which feeds training epoch after epoch, "
        "instead of queueing each problem once",
    )
    parser.add_argument(
        "--split", choices=("train", "eval"), help="of --dataset: eval is never trained on (default: train)"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="send nothing; show three prompts as the model sees them, their lengths, and what is refused and why",
    )
    parser.add_argument(
        "--model",
        type=path,
        metavar="FOLDER",
        help="of --dry-run: look with this model and the settings below, without a gateway",
    )
    add_settings_options(parser)
    add_mapping_options(parser)
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Send the file, or look at it. Waits while the queue is full."""
    _check_usage(arguments)
    purpose: Purpose = "dataset" if arguments.dataset else "prompts"
    problems = _with_ids(problems_from(arguments), arguments, purpose)
    if arguments.dry_run:
        report = check_problems(arguments, problems, purpose)
        print("\n".join(describe(report, problems, errors_shown(arguments))))
        return 1 if report["errors"] and not arguments.skip_wrong else 0
    if arguments.skip_wrong:
        problems = left_in(arguments, problems, purpose)
    with gateway(arguments, PATIENCE_SECONDS if not arguments.dataset else 2.0) as client:
        if arguments.dataset:
            _upload(client, arguments, problems)
        else:
            _submit(client, arguments, problems)
    return 0


def _check_usage(arguments: argparse.Namespace) -> None:
    if arguments.split and not arguments.dataset:
        raise UsageError("--split belongs to --dataset NAME; without it every problem is queued for training")
    local = {
        "--model": arguments.model,
        "--config": arguments.config,
        "--preset": arguments.preset,
        "--set": arguments.set,
    }
    given = [name for name, value in local.items() if value]
    if given and not arguments.dry_run:
        raise UsageError(f"{given[0]} belongs to --dry-run; the gateway has its own settings")
    if given and arguments.model is None:
        raise UsageError(f"{given[0]} needs --model FOLDER: the gateway has its own settings")
    if given and (arguments.url or arguments.run):
        raise UsageError("--model looks without a gateway; leave out --url and --run")


def _with_ids(problems: ProblemFile, arguments: argparse.Namespace, purpose: Purpose) -> ProblemFile:
    """The problems, whose ids differ where they are prompts. Raises CommandError."""
    repeated = repeated_ids(problems) if purpose == "prompts" else []
    if not repeated:
        return problems
    skips = arguments.skip_wrong
    listed = told(problems.unit, repeated, errors_shown(arguments), left_out=skips)
    if not skips:
        raise CommandError(f"{problems.file}: {listed}")
    print(f"{problems.file}: {listed}", file=sys.stderr)
    return problems.without({error["row"] for error in repeated})


def _upload(client: GatewayClient, arguments: argparse.Namespace, problems: ProblemFile) -> None:
    content = as_lines(problems)
    split = arguments.split or "train"
    parameters = {"name": arguments.dataset, "split": split, **row_parameters(arguments)}
    client.doing = f"the gateway looks at {len(problems.problems)} problems"
    try:
        kept = client.call("POST", "/v1/datasets", params=parameters, content=content, timeout=answer_timeout(content))
    except GatewayError as error:
        raise refused(error, problems, arguments) from None
    already = "" if kept["new"] else ", already there"
    print(f"data set {kept['name']}: {kept['rows']} rows, split {kept['split']}{already}{_left_out(kept['too_long'])}")


def _submit(client: GatewayClient, arguments: argparse.Namespace, problems: ProblemFile) -> None:
    accepted = known = too_long = 0
    for start, batch in _batches(problems.problems):
        client.doing = f"{start} of {len(problems.problems)} problems sent"
        try:
            reply = client.call("POST", "/v1/prompts", params=row_parameters(arguments), json={"prompts": batch})
        except GatewayError as error:
            remark = f"the {start} problems before them were accepted" if start else "none was sent"
            raise refused(error, problems, arguments, start, remark) from None
        accepted, known = accepted + reply["accepted"], known + reply["already_known"]
        too_long += reply["too_long"]
    print(f"{accepted} prompts accepted, {known} known already{_left_out(too_long)}")


def _batches(problems: list[dict[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Problems in requests of bounded size, each with the position of its first."""
    start, size = 0, 0
    for position, problem in enumerate(problems):
        length = len(str(problem))
        full = position - start >= PROMPTS_PER_REQUEST or size + length > CHARACTERS_PER_REQUEST
        if full and position > start:
            yield start, problems[start:position]
            start, size = position, 0
        size += length
    yield start, problems[start:]


def _left_out(too_long: int) -> str:
    return f", {too_long} too long left out" if too_long else ""
