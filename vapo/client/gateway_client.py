"""The gateway's REST calls for programs of this project: commands, the demo, benchmarks.

Invariants: an error answer is raised with the gateway's own words; a gateway that is away (started
again after a crash) is waited for up to the client's patience, so calls must be idempotent; a wait
that cannot end well (nothing ever listened there, the name is unknown) is not begun.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from vapo.local.addresses import is_loopback, reachable_url
from vapo.local.run_folders.known_runs import choose
from vapo.local.run_folders.run_folder import RunFolder
from vapo.service.http_clients import http_client

RETRY_SECONDS = 0.5
CONNECT_SECONDS = 10.0
TIMEOUT_SECONDS = 60.0
UPLOAD_SECONDS = 600.0
"""A large data set is checked row by row before it is answered for."""
AWAY_SECONDS = 60.0
"""Longest wait for a gateway that does not answer at all, whatever the patience with a full one."""
EVENT_SILENCE_SECONDS = 45.0
"""The gateway says something at least every 15 s; longer silence is a lost connection."""
RETRIED_STATUSES = (429, 502, 503, 504)


class GatewayError(RuntimeError):
    """The gateway refused a request or does not answer; the text is its own, with the remedy."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        nobody_listens: bool = False,
        document: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; None when there was no answer."""
        self.nobody_listens = nobody_listens
        """Whether the address is this machine's and refuses connections."""
        self.document = document
        """The problem document (RFC 9457), as far as there is one."""


class Progress(Protocol):
    """Told what a client waits for; see `vapo.cli.output.progress_line`."""

    def begin(self, what: str) -> None:
        """A wait begins."""

    def say(self, what: str) -> None:
        """What it is for has become clearer."""

    def end(self) -> None:
        """It is over."""

    def show(self, text: str) -> None:
        """A count that moves."""

    def erase(self) -> None:
        """Something else will be printed."""


class NoProgress:
    """No progress is shown."""

    def begin(self, what: str) -> None:
        """Nothing."""

    def say(self, what: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def show(self, text: str) -> None:
        """Nothing."""

    def erase(self) -> None:
        """Nothing."""


class GatewayClient:
    """A connection to one gateway; use as a context manager."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        patience_seconds: float = 0.0,
        progress: Progress | None = None,
        expected: bool = True,
    ) -> None:
        """`patience_seconds`: how long to go on trying while the gateway does not answer or is
        full. `expected`: whether a gateway is known to be there; if not, an address of this machine
        at which nobody listens is an error at once.

        Raises:
            GatewayError: `url` is no address, or `token` fits in no header.
        """
        headers = {"Authorization": f"Bearer {checked_token(token)}"} if token else {}
        self.url, self._patience = checked(url).rstrip("/"), patience_seconds
        timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        self._http = http_client(base_url=self.url, headers=headers, timeout=timeout)
        self.progress: Progress = progress or NoProgress()
        self._expected = expected
        self.doing: str | None = None
        """What the next requests are part of, for whoever is shown the progress."""

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON answer to GET `path`. Raises GatewayError."""
        return self.call("GET", path, params=parameters)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer to POST `path`. Raises GatewayError."""
        return self.call("POST", path, json=body)

    def upload(self, name: str, split: str, content: bytes) -> Any:
        """Upload a data set, JSONL or Parquet; the same rows again change nothing."""
        parameters = {"name": name, "split": split}
        timeout = httpx.Timeout(UPLOAD_SECONDS, connect=CONNECT_SECONDS)
        return self.call("POST", "/v1/datasets", params=parameters, content=content, timeout=timeout)

    def open_events(self, last_id: str | None) -> AbstractContextManager[httpx.Response]:
        """The stream of events after `last_id`; of new ones if None. See vapo.client.event_stream."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=EVENT_SILENCE_SECONDS)
        return self._http.stream("GET", "/v1/events", headers=headers, timeout=timeout)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One request, repeated within the client's patience. Raises GatewayError."""
        self.progress.begin(self.doing or f"waiting for {self.url}")
        try:
            return self._patiently(method, path, options)
        finally:
            self.progress.end()

    def _patiently(self, method: str, path: str, options: dict[str, Any]) -> Any:
        begun = time.monotonic()
        while True:
            try:
                answer = answer_of(self._http.request(method, path, **options))
                self._expected = True
                return answer
            except httpx.TransportError as error:
                failure = unanswered(self.url, error)
                if self._is_hopeless(failure, error):
                    raise failure from None
            except GatewayError as error:
                if error.status not in RETRIED_STATUSES:
                    raise
                failure = error
            patience = self._patience if failure.status else min(self._patience, AWAY_SECONDS)
            left = begun + patience - time.monotonic()
            if left <= 0:
                raise failure
            self.progress.say(f"{failure}; trying for another {left:.0f} s")
            time.sleep(RETRY_SECONDS)

    def _is_hopeless(self, failure: GatewayError, error: httpx.TransportError) -> bool:
        """Whether no patience helps, as long as nothing has ever answered there."""
        if any(isinstance(cause, (socket.gaierror, ssl.SSLError)) for cause in causes(error)):
            return True
        return failure.nobody_listens and not self._expected


def unanswered(url: str, error: httpx.TransportError) -> GatewayError:
    """The error of a request that got no answer."""
    chain = list(causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in chain):
        return GatewayError(f"the gateway at {url} does not answer: its host name is not known")
    if any(isinstance(cause, ssl.SSLError) for cause in chain):
        scheme = urlsplit(url).scheme
        return GatewayError(f"the gateway at {url} does not answer: {error}; is {scheme}:// right for it?")
    refused = any(isinstance(cause, ConnectionRefusedError) for cause in chain)
    why = "nobody listens there" if refused else repr(error)
    local = refused and is_loopback(urlsplit(url).hostname or "")
    return GatewayError(f"the gateway at {url} does not answer: {why}", nobody_listens=local)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def checked(url: str) -> str:
    """`url`, when it is an HTTP address. Raises GatewayError."""
    try:
        split = urlsplit(url)
        good = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
        plain = not (split.query or split.fragment or split.username)
    except ValueError:
        good = plain = False
    if good and plain:
        return url
    hint = f"; write http://{url}" if "://" not in url and is_host_and_port(url) else ""
    raise GatewayError(f"{url!r} is no address of a gateway, such as http://127.0.0.1:8000{hint}")


def is_host_and_port(text: str) -> bool:
    """Whether only the scheme is missing."""
    try:
        split = urlsplit(f"http://{text}")
        return bool(split.hostname) and split.port != 0 and not split.username
    except ValueError:
        return False


def checked_token(token: str) -> str:
    """`token`, when a header can hold it. Raises GatewayError."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise GatewayError("the token holds characters that no token has: spaces or line ends?")
    return token


def answer_of(response: httpx.Response) -> Any:
    """The decoded body; None for "no content". Raises GatewayError for an error status, and for an
    answer that is none of a gateway's.
    """
    if response.is_error:
        document = problem_document(response)
        raise GatewayError(explain(response), response.status_code, document=document)
    if response.has_redirect_location:
        target = response.headers["location"]
        raise GatewayError(f"{response.url} redirects to {target}; give the address behind it")
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if isinstance(answer, (dict, list)):
        return answer
    kind = response.headers.get("content-type", "nothing")
    raise GatewayError(f"{response.url} is no gateway of vapo: it answers {kind}")


def problem_document(response: httpx.Response) -> Mapping[str, Any]:
    """The problem document (RFC 9457) of an error answer; empty when it is none."""
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, Mapping) else {}


def explain(response: httpx.Response) -> str:
    """The detail of a problem document (RFC 9457), or what there is instead."""
    try:
        document = response.json()
        detail = document.get("detail") or document.get("title")
    except (ValueError, AttributeError):
        detail = f"{response.url} is no gateway of vapo, or stands behind something that answers: "
        detail += " ".join(response.text[:200].split())
    return f"{detail} (HTTP {response.status_code})"


def connection(run: Path | None = None, patience_seconds: float = 0.0) -> GatewayClient:
    """A client for a running stack, with its admin token.

    Looked for in this order: `run`, a run's folder or name; the variables `VAPO_URL` and
    `VAPO_TOKEN`; the run under `runs/` that is live, or else was started last.

    Raises:
        RunFolderError: there is none.
    """
    if run is None and os.environ.get("VAPO_URL"):
        token = os.environ.get("VAPO_TOKEN")
        return GatewayClient(os.environ["VAPO_URL"], token, patience_seconds)
    return of_run(choose(run)[0].folder, patience_seconds)


def of_run(folder: RunFolder, patience_seconds: float = 0.0) -> GatewayClient:
    """A client for the stack of a run folder, with its admin token. Raises RunFolderError."""
    settings = folder.read_settings()
    token = settings.security.admin_token
    return GatewayClient(
        reachable_url(settings.gateway.host, settings.gateway.port),
        token.get_secret_value() if token else None,
        patience_seconds,
    )
