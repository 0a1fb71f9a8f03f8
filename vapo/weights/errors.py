"""What can be wrong with a weight version; every text names the thing and the remedy."""

from __future__ import annotations


class WeightsError(RuntimeError):
    """A published version is missing, incomplete or damaged; the text names file and remedy."""


class SupersededError(WeightsError):
    """The version asked for is no longer kept; the newest one is to be taken instead."""


class SourceUnavailableError(WeightsError):
    """Who serves the weights does not answer now; what has arrived stays for the next try."""
