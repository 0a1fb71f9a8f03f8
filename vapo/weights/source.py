"""The HTTP side of a fetch: one server of weights, asked for manifests and for ranges of files.

Invariants:
- a range is used only when the server says (206, Content-Range, If-Range with the file's checksum
  as its tag, RFC 9110 sections 13 and 14) that it is that range of that very file;
- redirects are not followed and proxies are not used, so the service token goes nowhere else;
- what passes by itself (no connection, a cut, 5xx) is told from what does not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import httpx

from vapo.service.http_clients import http_client
from vapo.weights.errors import SourceUnavailableError, SupersededError, WeightsError
from vapo.weights.manifest import MANIFEST, FileEntry, Manifest
from vapo.weights.ranges import ByteRange

PASSES = {408, 425, 429}
"""4xx answers after which the same request may succeed."""
SHOWN_DETAIL = 200


class WeightSource:
    """Whoever serves ``/v1/weights/VERSION/FILE``: the trainer, or a relay.

    Args:
        locate: base URL of the server; asked again after each failure, since it may have moved.
        headers: the service token.
        stall_seconds: a connection silent for this long is dropped.
    """

    def __init__(
        self, locate: Callable[[], str], headers: Mapping[str, str], stall_seconds: float, connections: int
    ) -> None:
        self._locate, self.stall_seconds = locate, stall_seconds
        self._base: str | None = None
        # Replicas and relay may be served in many ranges, but a pool must never be waited for.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections)
        self._client = http_client(
            headers={**headers, "Accept-Encoding": "identity"}, timeout=stall_seconds, limits=limits
        )

    def manifest(self, version: int) -> Manifest:
        """The manifest of a version as the server has it.

        Raises:
            SupersededError: the server does not have the version.
            SourceUnavailableError: no answer now.
            WeightsError: a refusal, or a malformed manifest.
        """
        with self._answer(version, MANIFEST, {}) as response:
            if response.status_code != httpx.codes.OK:
                raise _unexpected(response)
            return Manifest.parse(response.read().decode("utf-8", errors="replace"))

    @contextmanager
    def read(self, version: int, name: str, entry: FileEntry, wanted: ByteRange) -> Iterator[Iterator[bytes]]:
        """The bytes of one range, in pieces. A cut raises SourceUnavailableError; else as above."""
        headers = {"Range": f"bytes={wanted.start}-{wanted.end - 1}", "If-Range": etag_of(entry)}
        with self._answer(version, name, headers) as response:
            expected = f"bytes {wanted.start}-{wanted.end - 1}/{entry.bytes}"
            given = response.headers.get("Content-Range")
            if response.status_code != httpx.codes.PARTIAL_CONTENT or given != expected:
                raise WeightsError(
                    f"{response.url} answered {response.status_code} (Content-Range: {given}) "
                    f"instead of {expected}; its file is not the one the manifest names"
                )
            yield response.iter_raw()

    @contextmanager
    def _answer(self, version: int, name: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        base = self._base or self._locate()
        url = f"{base.rstrip('/')}/v1/weights/{version}/{name}"
        try:
            with contextlib.closing(self._sent(url, headers)) as response:
                _refuse_errors(response)
                self._base = base
                yield response
        except httpx.TransportError as error:
            self._base = None
            reason = str(error) or type(error).__name__
            raise SourceUnavailableError(f"{url}: {reason}") from None
        except SourceUnavailableError:
            self._base = None
            raise

    def _sent(self, url: str, headers: Mapping[str, str]) -> httpx.Response:
        request = self._client.build_request("GET", url, headers=headers)
        try:
            return self._client.send(request, stream=True)
        except RuntimeError:  # httpx's way to say that close() was called
            raise WeightsError(f"{url} is not asked: this part is stopping") from None

    def close(self) -> None:
        """Close all connections; whoever still asks gets a WeightsError."""
        self._client.close()


def etag_of(entry: FileEntry) -> str:
    """Strong entity tag of a file: its checksum, the same wherever it is served."""
    return f'"{entry.sha256}"'


def _refuse_errors(response: httpx.Response) -> None:
    status = response.status_code
    if status < httpx.codes.BAD_REQUEST:
        return
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in PASSES:
        raise SourceUnavailableError(f"{response.url} answered {status}: {_detail(response)}")
    if status == httpx.codes.NOT_FOUND:
        raise SupersededError(
            f"{response.url} is not there: {_detail(response)}; the newest version is taken "
            "instead. If that fails too, the server runs without weights.transport=http"
        )
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise WeightsError(
            f"{response.url} refused the service token ({status}); give all parts the same security.service_token"
        )
    raise _unexpected(response)


def _unexpected(response: httpx.Response) -> WeightsError:
    return WeightsError(
        f"{response.url} answered {response.status_code}: {_detail(response)}; "
        "is it a trainer or a relay of this release?"
    )


def _detail(response: httpx.Response) -> str:
    response.read()
    try:
        return str(response.json()["detail"])[:SHOWN_DETAIL]
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
