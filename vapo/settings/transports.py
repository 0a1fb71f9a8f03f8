"""What is known of each weight transport without opening one; settings are checked by it.

Invariant: ``vapo.weights.from_settings`` makes a transport for each name here (a test compares the names).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TransportFacts:
    """What the parts must know of a transport beside its class."""

    is_served: bool
    """The trainer serves the files over HTTP; a consumer keeps a cache, and a relay may stand between."""


TRANSPORTS = {"file": TransportFacts(is_served=False), "http": TransportFacts(is_served=True)}
"""Value of ``weights.transport`` -> its facts."""
