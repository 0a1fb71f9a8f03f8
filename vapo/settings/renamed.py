"""Settings of earlier versions, and what took their place.

Invariant: such a setting is refused with the new name, unless its value is the one it had where
nobody set it: a resolved file of an earlier version (a run folder's ``settings.json``) names every
setting, and stays readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Renamed:
    """What became of a setting."""

    default: Any
    """Its value where nobody set it, which changed nothing."""
    instead: str
    """What to set now."""


RENAMED: dict[str, Renamed] = {
    "verifier.overlong_limit_tokens": Renamed(
        0, "algorithm.truncation=soft_punishment (or mask_and_punish), whose limit is sampling.max_new_tokens"
    ),
    "verifier.overlong_buffer_tokens": Renamed(0, "algorithm.overlong_buffer_tokens"),
}
"""Old name -> what became of it; docs/upgrading.md tells the same."""


def without_renamed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """``tree``, ``section -> key -> value``, without settings of earlier versions.

    Raises:
        ValueError: one of them was set; the text names what to set instead.
    """
    return {
        section: {key: value for key, value in keys.items() if not _is_unset(f"{section}.{key}", value)}
        if isinstance(keys, Mapping)
        else keys
        for section, keys in tree.items()
    }


def _is_unset(setting: str, value: Any) -> bool:
    """Whether it is a setting of an earlier version that nobody set. Raises ValueError if set."""
    renamed = RENAMED.get(setting)
    if renamed is not None and value != renamed.default:
        raise ValueError(f"{setting}={value} is a setting of an earlier version; set {renamed.instead} instead")
    return renamed is not None
