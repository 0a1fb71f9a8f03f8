"""The gateway's REST calls for programs of this project: commands, the demo, benchmarks.

Invariants: an error answer is raised with the gateway's own words; a gateway that is away (started
again after a crash) is waited for up to the client's patience, so calls must be idempotent.
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from vapo.run_folder import RunFolder, RunFolderError, newest_run

RETRY_SECONDS = 0.5
TIMEOUT_SECONDS = 60.0
EVENT_SILENCE_SECONDS = 45.0
"""The gateway says something at least every 15 s; longer silence is a lost connection."""
RETRIED_STATUSES = (429, 502, 503, 504)


class GatewayError(RuntimeError):
    """The gateway refused a request or does not answer; the text is its own, with the remedy."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status; None when there was no answer."""


class GatewayClient:
    """A connection to one gateway; use as a context manager."""

    def __init__(self, url: str, token: str | None = None, patience_seconds: float = 0.0) -> None:
        """`patience_seconds`: how long to go on trying while the gateway does not answer.

        Raises:
            GatewayError: `url` is no address.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url, self._patience = checked(url).rstrip("/"), patience_seconds
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        return self.call("POST", "/v1/datasets", params=parameters, content=content)

    def open_events(self, last_id: str | None) -> AbstractContextManager[httpx.Response]:
        """The stream of events after `last_id`; of new ones if None. See vapo.event_stream."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=EVENT_SILENCE_SECONDS)
        return self._http.stream("GET", "/v1/events", headers=headers, timeout=timeout)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One request, repeated within the client's patience. Raises GatewayError."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return answer_of(self._http.request(method, path, **options))
            except httpx.TransportError as error:
                failure = GatewayError(f"the gateway at {self.url} does not answer: {error!r}")
            except GatewayError as error:
                if error.status not in RETRIED_STATUSES:
                    raise
                failure = error
            if time.monotonic() >= deadline:
                raise failure
            time.sleep(RETRY_SECONDS)


def checked(url: str) -> str:
    """`url`, when it is an HTTP address. Raises GatewayError."""
    try:
        split = urlsplit(url)
        good = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:
        good = False
    if not good:
        raise GatewayError(f"{url!r} is no address of a gateway, such as http://127.0.0.1:8000")
    return url


def answer_of(response: httpx.Response) -> Any:
    """The decoded body; None when empty. Raises GatewayError for an error status."""
    if response.is_error:
        raise GatewayError(explain(response), response.status_code)
    return response.json() if response.content else None


def explain(response: httpx.Response) -> str:
    """The detail of a problem document (RFC 9457), or what there is instead."""
    try:
        document = response.json()
        detail = document.get("detail") or document.get("title")
    except (ValueError, AttributeError):
        detail = response.text[:500]
    return f"{detail} (HTTP {response.status_code})"


def connection(run: Path | None = None, patience_seconds: float = 0.0) -> GatewayClient:
    """A client for a running stack, with its admin token.

    Looked for in this order: `run`, a run folder; the variables `VAPO_URL` and `VAPO_TOKEN`; the
    run under `runs/` that was started last.

    Raises:
        RunFolderError: there is none.
    """
    if run is None and "VAPO_URL" in os.environ:
        token = os.environ.get("VAPO_TOKEN")
        return GatewayClient(os.environ["VAPO_URL"], token, patience_seconds)
    folder = RunFolder(run) if run else newest_run()
    if folder is None:
        raise RunFolderError("no run under runs/; start one with `vapo up`, or set VAPO_URL")
    return of_run(folder, patience_seconds)


def of_run(folder: RunFolder, patience_seconds: float = 0.0) -> GatewayClient:
    """A client for the stack of a run folder, with its admin token. Raises RunFolderError."""
    settings = folder.read_settings()
    token = settings.security.admin_token
    return GatewayClient(
        f"http://{settings.gateway.host}:{settings.gateway.port}",
        token.get_secret_value() if token else None,
        patience_seconds,
    )
