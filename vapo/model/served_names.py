"""What clients may call the one model there is."""

from __future__ import annotations

from vapo.settings import Settings

POLICY = "policy"
"""Works with every run, whatever folder the model came from."""


def listed_name(settings: Settings) -> str:
    """The name that lists and answers show: that of the model's folder."""
    return settings.model.path.resolve().name or POLICY


def known_names(settings: Settings) -> tuple[str, ...]:
    """All names that a request may use."""
    return listed_name(settings), POLICY, settings.run.name


def unknown_name(settings: Settings, asked: str) -> str | None:
    """Why there is no model ``asked``, or None."""
    if asked in known_names(settings):
        return None
    return f"there is no model {asked!r} here; leave `model` out, or use {POLICY!r} or {listed_name(settings)!r}"
