"""Query parameters that a route does not have are refused.

Invariant: a filter that would be dropped in silence is named instead, so that nobody takes the
whole list for the part that was asked for.
"""

from __future__ import annotations

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_flat_dependant

from vapo.service.problem_details import Problem


async def _only_known(request: Request) -> None:
    dependant = get_flat_dependant(request.scope["route"].dependant)
    known = [parameter.alias for parameter in dependant.query_params]
    for name in request.query_params:
        if name not in known:
            raise Problem(
                422,
                f"unknown parameter {name!r}; known are {', '.join(known) or 'none'}",
                errors=[{"field": f"query.{name}", "message": "unknown parameter"}],
            )


ONLY_KNOWN_PARAMETERS = Depends(_only_known)
