"""The options by which client commands find a gateway."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vapo.cli.errors import CommandError
from vapo.client import GatewayClient, GatewayError, connection
from vapo.run_folder import RunFolderError
from vapo.settings import SettingsError


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add `--url`, `--token` and `--run` to a command."""
    parser.add_argument("--url", help="gateway, e.g. http://127.0.0.1:8000 (default: $VAPO_URL)")
    parser.add_argument(
        "--token", help="bearer token (default: $VAPO_TOKEN, which `ps` does not show)"
    )
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FOLDER",
        help="run folder on this machine (default: the newest)",
    )


@contextmanager
def gateway(
    arguments: argparse.Namespace, patience_seconds: float = 2.0
) -> Iterator[GatewayClient]:
    """A client for the gateway the command was pointed at.

    Raises:
        CommandError: there is none, it does not answer, or it refused a request.
    """
    try:
        with _client(arguments, patience_seconds) as client:
            yield client
    except GatewayError as error:
        hint = "" if error.status else "; start the platform with `vapo up`, or see --url"
        raise CommandError(f"{error}{hint}") from None
    except (RunFolderError, SettingsError) as error:
        raise CommandError(f"{error}; or name a gateway with --url") from None


def _client(arguments: argparse.Namespace, patience_seconds: float) -> GatewayClient:
    if arguments.url:
        token = arguments.token or os.environ.get("VAPO_TOKEN")
        return GatewayClient(arguments.url, token, patience_seconds)
    return connection(arguments.run, patience_seconds)
