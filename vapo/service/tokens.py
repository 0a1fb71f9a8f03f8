"""Who may call what: bearer tokens of three scopes.

Invariant: as soon as any token is set, a path that asks for a scope is open only to a token of that
scope or a higher one, compared in constant time; without tokens it is open (loopback only, as the
settings demand).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from vapo.service.problem_details import Problem
from vapo.settings import SecuritySettings, Settings


class AccessScope(IntEnum):
    """Who may call: a higher scope may do all that a lower one may."""

    USER = 1
    SERVICE = 2
    ADMIN = 3


BEARER = HTTPBearer(auto_error=False, description="A token of the run's section `security`.")
"""Tells the OpenAPI page to ask for a token; :func:`require` judges it."""


def require(scope: AccessScope) -> Any:
    """Route dependency: the caller's bearer token must carry at least ``scope``."""

    # A coroutine: a plain function would need one of the pool's threads, which may all be waiting.
    async def check(request: Request, _: Annotated[Any, Depends(BEARER)]) -> None:
        allowed = allowed_tokens(request.app.state.security, scope)
        if allowed and not token_matches(request.headers.get("authorization", ""), allowed):
            raise Problem(
                401, f"a bearer token with {scope.name.lower()} scope is required", {"WWW-Authenticate": "Bearer"}
            )

    return Depends(check)


USER, SERVICE, ADMIN = AccessScope.USER, AccessScope.SERVICE, AccessScope.ADMIN


def allowed_tokens(security: SecuritySettings, scope: AccessScope) -> list[str]:
    """Tokens that open ``scope``; an empty list when no token is set (loopback only)."""
    tokens = {
        AccessScope.USER: security.user_token,
        AccessScope.SERVICE: security.service_token,
        AccessScope.ADMIN: security.admin_token,
    }
    if not any(tokens.values()):
        return []
    enough = [token for rank, token in tokens.items() if token and rank >= scope]
    return [token.get_secret_value() for token in enough] or [""]


def token_matches(header: str, allowed: Sequence[str]) -> bool:
    """Whether an Authorization header holds one of ``allowed``, in constant time."""
    scheme, _, token = header.partition(" ")
    matches = [hmac.compare_digest(token.encode(), good.encode()) for good in allowed if good]
    return scheme.lower() == "bearer" and any(matches)


def service_headers(settings: Settings) -> dict[str, str]:
    """Headers one service shows another."""
    token = settings.security.service_token
    return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
