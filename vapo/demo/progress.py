"""What is shown while the demo runs, as words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

QUEUES = ("tasks", "generated", "verified", "scored")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The run at one moment. Times are in seconds."""

    phase: str
    elapsed: float
    left: float
    step: int = 0
    row: Mapping[str, Any] = field(default_factory=dict)
    """Newest metrics row; empty before there is one."""
    accuracy_before: float | None = None
    accuracy: float | None = None
    """Newest held-out accuracy."""
    accuracy_step: int = 0
    """Step at which it was measured."""
    depths: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


def fields(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Label and value of everything shown, in order."""
    row = snapshot.row
    return [
        ("phase", snapshot.phase + (f" ({snapshot.note})" if snapshot.note else "")),
        ("time", f"{clock(snapshot.elapsed)}, about {clock(snapshot.left)} left"),
        ("step", str(snapshot.step)),
        ("reward", number(row.get("reward"), "+.2f")),
        ("train accuracy", number(row.get("accuracy"), ".2f")),
        ("held-out accuracy", held_out(snapshot)),
        ("length", number(row.get("response_length"), ".0f", " tokens")),
        ("entropy", number(row.get("entropy"), ".3f", " nats")),
        ("explained variance", number(row.get("explained_variance"), ".2f")),
        ("tokens/s", number(row.get("tokens_per_second"), ".0f")),
        ("staleness", number(row.get("staleness_mean"), ".2f", " steps")),
        ("queues", queues(snapshot.depths)),
    ]


def line(snapshot: Snapshot) -> str:
    """One line for logs and pipes; what is not known yet is left out."""
    shown = fields(snapshot)[2:] if snapshot.row else fields(snapshot)[-1:]
    rest = "  ".join(f"{label} {text}" for label, text in shown if text != "-")
    note = f" ({snapshot.note})" if snapshot.note else ""
    times = f"[{clock(snapshot.elapsed)}, {clock(snapshot.left)} left]"
    return f"{times} {snapshot.phase}{note}" + (f": {rest}" if rest else "")


def held_out(snapshot: Snapshot) -> str:
    """Newest held-out accuracy with its step, and where it began."""
    if snapshot.accuracy is None:
        return number(snapshot.accuracy_before, ".2f", " before")
    began = "" if snapshot.accuracy_before is None else f", {snapshot.accuracy_before:.2f} before"
    return f"{snapshot.accuracy:.2f} (step {snapshot.accuracy_step}{began})"


def queues(depths: Mapping[str, int]) -> str:
    """Ids waiting at each stage."""
    known = [f"{name} {depths[name]}" for name in QUEUES if name in depths]
    return ", ".join(known) or "-"


def number(value: float | None, form: str, unit: str = "") -> str:
    """A figure, or '-' when there is none."""
    return "-" if value is None else f"{value:{form}}{unit}"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
