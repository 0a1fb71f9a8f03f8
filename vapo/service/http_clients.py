"""The one place where HTTP clients are made.

Invariant: no request of this project passes through a proxy. `HTTP_PROXY`, `ALL_PROXY` and their
kin are meant for the internet; parts and gateways are reached directly, and a token goes to nobody
else. Of the environment only `SSL_CERT_FILE` and `SSL_CERT_DIR` count: whose certificates are
trusted.
"""

from __future__ import annotations

from typing import Any

import httpx


def http_client(**options: Any) -> httpx.Client:
    """A client that ignores proxies; `options` are those of :class:`httpx.Client`."""
    return httpx.Client(trust_env=False, verify=httpx.create_ssl_context(), **options)


def async_http_client(**options: Any) -> httpx.AsyncClient:
    """:func:`http_client` for coroutines."""
    return httpx.AsyncClient(trust_env=False, verify=httpx.create_ssl_context(), **options)
