"""What a demo run remembers between sessions, in `demo.json` of its run folder.

Invariant: the file is replaced at once, so an interrupted run leaves its last whole state.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vapo.local.run_folders.run_folder import write_secret

STATE_FILE = "demo.json"


@dataclass(frozen=True, slots=True)
class Example:
    """One response to a held-out problem."""

    prompt: str
    answer: str
    text: str
    correct: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """One evaluation: avg@k at temperature 1."""

    accuracy: float
    standard_error: float
    mean_length: float
    """Tokens."""
    problems: int
    samples: int
    weight_version: int
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A smaller evaluation during training."""

    step: int
    accuracy: float


@dataclass(slots=True)
class DemoState:
    """Progress of one demo run."""

    seed: int
    started_at: float
    """Seconds since the epoch."""
    seconds: float = 0.0
    """Wall-clock time of all its sessions."""
    startup_seconds: float = 0.0
    """Of its first session."""
    value_pretraining_seconds: float = 0.0
    rl_seconds: float = 0.0
    before: Measurement | None = None
    after: Measurement | None = None
    curve: list[CurvePoint] = field(default_factory=list)
    curve_asked: int = 0
    trained: bool = False
    """The training budget is spent; what is left is the last evaluation."""

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.after is not None

    def save(self, folder: Path) -> None:
        """Replace the run's state file."""
        write_secret(folder / STATE_FILE, json.dumps(asdict(self), indent=2))


def load_state(folder: Path) -> DemoState | None:
    """The state of the run in `folder`, or None when there is none."""
    try:
        raw = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    raw["before"], raw["after"] = measurement(raw["before"]), measurement(raw["after"])
    raw["curve"] = [CurvePoint(**point) for point in raw["curve"]]
    return DemoState(**raw)


def measurement(raw: dict[str, Any] | None) -> Measurement | None:
    """A measurement from its JSON form."""
    if raw is None:
        return None
    return Measurement(**{**raw, "examples": [Example(**one) for one in raw["examples"]]})
