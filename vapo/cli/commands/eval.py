"""`vapo eval`: avg@k, pass@k and maj@k of the live policy on held-out problems."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vapo.cli.connection_options import add_connection_options, gateway
from vapo.cli.errors import UsageError
from vapo.cli.output.eval_wait import wait_for
from vapo.cli.output.evaluation_words import describe, has_failed, warnings
from vapo.cli.sending.dry_run import left_in
from vapo.cli.sending.problem_file import ProblemFile, add_mapping_options, mapping_words, problems_from
from vapo.cli.sending.row_requests import refused
from vapo.client import GatewayClient, GatewayError
from vapo.option_types import above, at_least, path, whole
from vapo.startup import check_writable

PATIENCE_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("file", type=path, nargs="?", help="JSON Lines, a JSON array, CSV or Parquet, with answers")
    parser.add_argument("--dataset", metavar="NAME", help="an uploaded data set instead of a file")
    parser.add_argument("-k", "--samples", type=whole(1), help="responses per problem (default: evaluation.samples)")
    parser.add_argument(
        "--temperature",
        type=at_least(0),
        help="0 to 2; 0 is greedy, with one response per problem (default: evaluation.temperature)",
    )
    parser.add_argument("--top-p", type=at_least(0), help="nucleus, above 0, at most 1 (default: evaluation.top_p)")
    parser.add_argument(
        "--max-new-tokens",
        type=whole(1),
        metavar="N",
        help="longest response, in tokens (default: sampling.max_new_tokens)",
    )
    parser.add_argument(
        "--deadline",
        type=above(0),
        default=86_400.0,
        metavar="SECONDS",
        help="give up waiting after this long (default: a day)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--details", type=path, metavar="FILE", help="write each problem's results to FILE, JSONL")
    add_mapping_options(parser)
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Start the evaluation and wait for its end; status 1 when responses of it failed."""
    _check_usage(arguments)
    if arguments.details:
        check_writable("--details", arguments.details.absolute().parent)
    problems = _problems(arguments) if arguments.file else None
    with gateway(arguments, PATIENCE_SECONDS) as client:
        begun = _begin(client, arguments, problems)
        result = wait_for(client, begun, arguments.deadline)
        if arguments.details:
            _write_details(client, result["id"], arguments.details)
    print(json.dumps(result) if arguments.json else "\n".join(describe(result)))
    if arguments.json:
        sys.stderr.writelines(f"{line}\n" for line in warnings(result))
    return int(has_failed(result))


def _check_usage(arguments: argparse.Namespace) -> None:
    if (arguments.file is None) == (arguments.dataset is None):
        raise UsageError("give either a file or --dataset NAME")
    of_files = mapping_words(arguments)
    if arguments.dataset and of_files:
        raise UsageError(
            f"{of_files[0]} is for files: the rows of data set {arguments.dataset} are taken as they were uploaded"
        )


def _problems(arguments: argparse.Namespace) -> ProblemFile:
    """The file's problems, without those that are to be left out."""
    problems = problems_from(arguments)
    if arguments.skip_too_long or arguments.skip_wrong:
        return left_in(arguments, problems, "dataset", _imposed(arguments))
    return problems


def _imposed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fields of every problem of the evaluation that decide what fits the model's context."""
    longest = arguments.max_new_tokens
    return {} if longest is None else {"sampling": {"max_new_tokens": longest}}


def _begin(client: GatewayClient, arguments: argparse.Namespace, problems: ProblemFile | None) -> dict[str, Any]:
    options = {
        name: getattr(arguments, name) for name in ("dataset", "samples", "temperature", "top_p", "max_new_tokens")
    }
    request = {name: value for name, value in options.items() if value is not None}
    if problems is None:
        return client.post("/v1/evaluations", request)
    try:
        return client.post("/v1/evaluations", {**request, "problems": problems.problems})
    except GatewayError as error:
        raise refused(error, problems, arguments, remark="nothing was begun") from None


def _write_details(client: GatewayClient, evaluation_id: str, file: Path) -> None:
    results = client.get(f"/v1/evaluations/{evaluation_id}", problems="true")["results"]
    file.write_text("".join(json.dumps(result) + "\n" for result in results), encoding="utf-8")
