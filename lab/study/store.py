"""Finished runs on disk: one JSON file each, so that an interrupted study goes on where it was.

Invariants: a file is there whole or not at all; its name follows from the configuration, so a
study whose settings were changed never takes old results for new ones.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from lab.study.configuration import Configuration, to_json
from lab.study.run import RunResult

SIGNIFICANT_DIGITS = 5


def result_file(folder: Path, configuration: Configuration) -> Path:
    """Where the run's result is kept."""
    text = json.dumps(to_json(configuration), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return folder / f"{configuration.variant}-{configuration.seed}-{digest}.json"


def save(folder: Path, configuration: Configuration, result: RunResult) -> Path:
    """Write the result atomically; returns its file."""
    file = result_file(folder, configuration)
    record = {
        "configuration": to_json(configuration),
        "accuracy": result.accuracy,
        "seconds": round(result.seconds, 1),
        "phases": {name: round(seconds, 2) for name, seconds in result.phases.items()},
        "curve": _columns(result.curve),
    }
    folder.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(record, stream, separators=(",", ":"))
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(file)
    return file


def load(folder: Path, configuration: Configuration) -> dict[str, Any] | None:
    """The finished run's record, or None: ``configuration``, ``accuracy``, ``seconds``,
    ``phases`` and ``curve`` (name -> one value per rollout step)."""
    file = result_file(folder, configuration)
    if not file.exists():
        return None
    record: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return record


def _columns(curve: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in curve for name in row)
    return {name: [_short(row.get(name)) for row in curve] for name in names}


def _short(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
