"""The dashboard: one self-contained page; what it shows it fetches with the reader's token."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(tags=["dashboard"])

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def page() -> HTMLResponse:
    """The page; it holds no data."""
    text = (files("services.gateway") / "static" / "dashboard.html").read_text("utf-8")
    return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})
