"""Query parameters of the routes that take rows.

Invariant: an unknown one is refused: a mapping of columns that were dropped in silence would train
on the wrong thing.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request

from services.gateway.rows.all_or_none import ERRORS_SHOWN, Strictness
from vapo.service.problem_details import Problem

MOST_ERRORS_SHOWN = 1_000_000
OF_ALL_ROUTES = ("skip_too_long", "max_errors")


def strictness(
    skip_too_long: Annotated[
        bool, Query(description="leave out, and count, rows that do not fit the model's context")
    ] = False,
    max_errors: Annotated[
        int, Query(ge=1, le=MOST_ERRORS_SHOWN, description="list at most this many wrong rows")
    ] = ERRORS_SHOWN,
) -> Strictness:
    """What the request asks for."""
    return Strictness(skip_too_long, max_errors)


RowOptions = Annotated[Strictness, Depends(strictness)]


def known_parameters(*own: str) -> Any:
    """Route dependency: no query parameters but ``own`` and those of all routes with rows."""
    known = (*own, *OF_ALL_ROUTES)

    async def check(request: Request) -> None:
        for name in request.query_params:
            if name not in known:
                raise Problem(
                    422,
                    f"unknown parameter {name!r}; known are {', '.join(known)}. Rows are taken as "
                    "they are: `vapo submit` maps the columns of a file",
                )

    return Depends(check)
