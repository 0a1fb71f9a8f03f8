"""The options by which client commands find a gateway, and what is said when it is not there.

Invariant: an option that is given holds. `--token` and `--token-file` replace the token of whatever
was found; options that exclude each other are refused.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vapo.cli.errors import CommandError
from vapo.cli.output.progress_line import PLAIN_SECONDS, ProgressLine
from vapo.client import GatewayClient, GatewayError
from vapo.local.run_folders.known_runs import Run, all_runs, choose, look, overview
from vapo.local.run_folders.run_folder import RunFolderError
from vapo.option_types import path
from vapo.settings import SettingsError

PATIENCE_SECONDS = 2.0
UNAUTHORISED = 401


@dataclass(frozen=True, slots=True)
class Target:
    """The gateway a command was pointed at."""

    url: str
    token: str | None
    given_by: str
    """Where the token was found, in words for a message."""
    run: Run | None
    """The run on this machine that it serves, where that is known."""

    @property
    def expected(self) -> bool:
        """Whether someone on this machine keeps a gateway running there."""
        return self.run is not None and self.run.live


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add `--url`, `--run`, `--token` and `--token-file` to a command."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--url", type=_not_empty, help="gateway, e.g. http://127.0.0.1:8000 (default: $VAPO_URL)")
    add_run_option(place)
    token = parser.add_mutually_exclusive_group()
    token.add_argument(
        "--token",
        type=_not_empty,
        help="bearer token (default: the run's own; with --url or $VAPO_URL: $VAPO_TOKEN, which `ps` does not show)",
    )
    token.add_argument("--token-file", type=path, metavar="FILE", help="read the bearer token from FILE")


def add_run_option(parser: argparse._ActionsContainer) -> None:
    """Add `--run`, read by :func:`chosen_run`."""
    parser.add_argument(
        "--run",
        type=path,
        metavar="RUN",
        help="folder or name of a run on this machine (default: the live one, else the newest)",
    )


def chosen_run(named: Path | None) -> Run:
    """The run a command means; says on stderr which, where there was a choice. Raises RunFolderError."""
    run, choice = choose(named)
    if choice:
        print(choice, file=sys.stderr)
    return run


def _not_empty(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text.strip()


@contextmanager
def gateway(arguments: argparse.Namespace, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[GatewayClient]:
    """A client for the gateway the command was pointed at.

    Raises:
        CommandError: there is none, it does not answer, or it refused a request.
    """
    target = find_target(arguments)
    with ProgressLine() as progress, told_plainly(target), client_of(target, patience_seconds, progress) as client:
        if target.run is not None and target.run.over:
            metrics_of(client, target)  # its address may have gone to another run
        yield client


def client_of(target: Target, patience_seconds: float, progress: ProgressLine) -> GatewayClient:
    """A client for `target` that shows what it waits for. Raises GatewayError."""
    return GatewayClient(target.url, target.token, patience_seconds, progress, expected=target.expected)


def ask_run(
    target: Target,
    live: Callable[[GatewayClient, ProgressLine], int],
    over: Callable[[Run], int],
    plain_seconds: float = PLAIN_SECONDS,
) -> int:
    """The exit status of `live`; of `over` where the gateway does not answer because its run is over.

    Raises:
        CommandError: the gateway does not answer for another reason, or refused a request.
    """
    with ProgressLine(plain_seconds=plain_seconds) as progress, told_plainly(target):
        try:
            with client_of(target, PATIENCE_SECONDS, progress) as client:
                return live(client, progress)
        except GatewayError:
            run = target.run and look(target.run.folder)
            if run and run.over:
                return over(run)
            raise


@contextmanager
def told_plainly(target: Target) -> Iterator[None]:
    """Errors of the gateway as a message with its remedy. Raises CommandError."""
    try:
        yield
    except GatewayError as error:
        raise CommandError(explained(error, target)) from None


def explained(error: GatewayError, target: Target) -> str:
    """An error of the gateway, with what to do about it."""
    run = target.run and look(target.run.folder)
    if run and run.over:
        remedy = "the same `vapo up` starts it again, `vapo runs` lists the others"
        return f"run {run.where} does not run ({run.story}): {error}; {remedy}"
    if error.status == UNAUTHORISED:
        return f"{error}; {_about_token(target)}"
    if error.status is not None or "does not answer" not in str(error):
        return str(error)
    if run and run.live:
        return f"{error}; run {run.where} is live, so it may be starting: try again"
    live = [one for one in all_runs() if one.live]
    here = f"; live runs here: {overview(live)}, see --run" if live else ""
    return f"{error}; start the platform with `vapo up`, or see --url{here}"


def metrics_of(client: GatewayClient, target: Target) -> dict[str, Any]:
    """`GET /v1/metrics` of the run that was meant.

    Raises:
        GatewayError: no gateway answers, or one of another run or version.
    """
    metrics = client.get("/v1/metrics")
    if not isinstance(metrics, dict) or "training" not in metrics:
        raise GatewayError(f"{target.url} is a gateway of another version of vapo, or none")
    if target.run is not None and metrics["run"] != target.run.name:
        raise GatewayError(f"{target.url} serves another run, {metrics['run']}")
    return metrics


def _about_token(target: Target) -> str:
    where = "section `security` of the run's settings.json has its tokens"
    if target.token is None:
        return f"no token was sent: give --token, --token-file or $VAPO_TOKEN; {where}"
    return f"the token of {target.given_by} is not enough; {where}"


def find_target(arguments: argparse.Namespace) -> Target:
    """Whom the command was pointed at: `--url`, `--run`, `$VAPO_URL`, or a run here.

    Raises:
        CommandError: there is no such run, or the token cannot be read.
    """
    url = arguments.url or (None if arguments.run else os.environ.get("VAPO_URL"))
    try:
        target = _of_url(url) if url else _of_run(arguments.run)
    except (RunFolderError, SettingsError) as error:
        raise CommandError(f"{error}; or name a gateway with --url or $VAPO_URL") from None
    if arguments.token:
        return replace(target, token=arguments.token, given_by="--token")
    if arguments.token_file:
        return replace(target, token=_read_token(arguments.token_file), given_by=f"--token-file {arguments.token_file}")
    return target


def _of_url(url: str) -> Target:
    token = os.environ.get("VAPO_TOKEN") or None
    same = [run for run in all_runs() if run.live and run.url == url.rstrip("/")]
    return Target(url, token, "$VAPO_TOKEN", same[0] if same else None)


def _of_run(named: Path | None) -> Target:
    run = chosen_run(named)
    token = run.folder.read_settings().security.admin_token
    return Target(run.url or "", token.get_secret_value() if token else None, f"{run.where}/settings.json", run)


def _read_token(file: Path) -> str:
    try:
        token = file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--token-file {file} cannot be read: {error}") from None
    if not token:
        raise CommandError(f"--token-file {file} is empty")
    return token
