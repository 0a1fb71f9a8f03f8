"""The verifier as a process."""

from __future__ import annotations

from services.verifier.part import VerifierPart
from services.verifier.routes import add_routes
from vapo.service import serve_part
from vapo.settings import Settings


def run(settings: Settings) -> int:
    """Serve with ``settings``; returns the exit status."""
    return serve_part("verifier", settings, lambda endpoint: VerifierPart(settings, endpoint), add_routes)
