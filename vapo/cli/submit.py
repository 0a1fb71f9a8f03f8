"""`vapo submit`: problems of a file, as prompts for training or as a named data set."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vapo.cli.connection_options import add_connection_options, gateway
from vapo.cli.errors import CommandError
from vapo.cli.problem_file import add_mapping_options, mapping_from, read_problems
from vapo.client import GatewayClient, GatewayError

PROMPTS_PER_REQUEST = 500
PATIENCE_SECONDS = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("file", type=Path, help="JSONL; with --dataset also Parquet")
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="keep the file as a data set, which feeds training epoch after epoch, "
        "instead of queueing each problem once",
    )
    parser.add_argument("--split", choices=("train", "eval"), default="train", help="of --dataset")
    add_mapping_options(parser)
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Send the file. Waits while the queue is full."""
    with gateway(arguments, PATIENCE_SECONDS if not arguments.dataset else 2.0) as client:
        if arguments.dataset:
            _upload(client, arguments)
        else:
            _submit(client, read_problems(arguments.file, mapping_from(arguments)))
    return 0


def _upload(client: GatewayClient, arguments: argparse.Namespace) -> None:
    if arguments.file.suffix == ".parquet":
        content = _content(arguments.file)
    else:
        problems = read_problems(arguments.file, mapping_from(arguments))
        content = "".join(json.dumps(problem) + "\n" for problem in problems).encode()
    kept = client.upload(arguments.dataset, arguments.split, content)
    print(f"data set {kept['name']}: {kept['rows']} rows, split {kept['split']}")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from None


def _submit(client: GatewayClient, problems: list[dict[str, Any]]) -> None:
    accepted = known = 0
    for start in range(0, len(problems), PROMPTS_PER_REQUEST):
        try:
            reply = client.post(
                "/v1/prompts", {"prompts": problems[start : start + PROMPTS_PER_REQUEST]}
            )
        except GatewayError as error:
            if error.status != 422:
                raise
            raise CommandError(
                f"{error}; row numbers count from problem {start} of the file, "
                f"the {start} problems before it were accepted"
            ) from None
        accepted, known = accepted + reply["accepted"], known + reply["already_known"]
    print(f"{accepted} prompts accepted, {known} known already")
