"""Gives a running platform the demo's problems: `python -m vapo.demo.feed --url URL`.

Invariant: sending the same problems again changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vapo.client import GatewayClient, GatewayError
from vapo.demo import evaluation, problems
from vapo.demo.settings import DemoOptions
from vapo.option_types import path

PATIENCE_SECONDS = 120.0
TRAINING = "train"


def send_held_out(client: GatewayClient, options: DemoOptions) -> None:
    """Upload the problems that are measured on. Raises GatewayError."""
    rows = problems.held_out_rows(options)
    client.upload(evaluation.HELD_OUT, "eval", problems.as_jsonl(rows))


def send_training(client: GatewayClient, options: DemoOptions) -> None:
    """Upload the problems that are trained on, epoch after epoch. Raises GatewayError."""
    client.upload(TRAINING, "train", problems.as_jsonl(problems.training_rows(options)))


def main(argv: Sequence[str] | None = None) -> int:
    """Send both; returns the exit status."""
    parser = argparse.ArgumentParser(prog="vapo.demo.feed", description=__doc__)
    parser.add_argument("--url", required=True, help="the gateway")
    parser.add_argument("--token-file", type=path, required=True, help="file with the user token")
    arguments = parser.parse_args(argv)
    options = DemoOptions()
    try:
        token = arguments.token_file.read_text(encoding="ascii").strip()
        with GatewayClient(arguments.url, token, PATIENCE_SECONDS) as client:
            send_held_out(client, options)
            send_training(client, options)
    except (GatewayError, OSError) as error:
        print(f"vapo.demo.feed: {error}", file=sys.stderr)
        return 1
    print(
        f"{options.train_problems} problems feed the training; {options.held_out_problems} "
        f"held-out ones are the data set {evaluation.HELD_OUT}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
