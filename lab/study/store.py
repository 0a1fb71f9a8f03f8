"""Finished runs on disk, so that an interrupted study goes on where it was.

A run that ends is a JSON file of its own in ``raw/``. :meth:`Runs.pack` gathers these into
``runs.jsonl.xz``, one line a run in order of their names; both are read.

Invariants: a file is there whole or not at all; a run's name follows from its configuration, so a
study whose settings were changed never takes old results for new ones; packing keeps every record
as it is, and the same runs give the same bytes (of one version of liblzma).
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from lab.study.configuration import Configuration, to_json
from lab.study.run import RunResult
from vapo.durable import sync

RAW = "raw"
ARCHIVE = "runs.jsonl.xz"
SIGNIFICANT_DIGITS = 5
Record = dict[str, Any]
"""``configuration``, ``accuracy``, ``seconds``, ``phases`` and ``curve`` (name -> one value per
rollout step)."""


def run_name(configuration: Configuration) -> str:
    """``variant-seed-digest``; the digest is of everything that decides the run."""
    digest = hashlib.sha256(json.dumps(to_json(configuration), sort_keys=True).encode()).hexdigest()
    return f"{configuration.variant}-{configuration.seed}-{digest[:10]}"


def save(folder: Path, configuration: Configuration, result: RunResult) -> None:
    """Keep the result of a run under ``folder``."""
    record = {
        "configuration": to_json(configuration),
        "accuracy": result.accuracy,
        "seconds": round(result.seconds, 1),
        "phases": {name: round(seconds, 2) for name, seconds in result.phases.items()},
        "curve": _columns(result.curve),
    }
    _write(folder / RAW / f"{run_name(configuration)}.json", _line(record))


class Runs:
    """The finished runs under one folder, packed or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _packed(self) -> dict[str, Record]:
        """Name -> record of the archive."""
        archive = self.folder / ARCHIVE
        lines = lzma.decompress(archive.read_bytes()).splitlines() if archive.exists() else []
        return {record.pop("run"): record for record in map(json.loads, lines)}

    @property
    def names(self) -> set[str]:
        """Of all finished runs."""
        return self._packed.keys() | {file.stem for file in (self.folder / RAW).glob("*.json")}

    def load(self, configuration: Configuration) -> Record | None:
        """The finished run's record, or None."""
        name = run_name(configuration)
        file = self.folder / RAW / f"{name}.json"
        record: Record | None = json.loads(file.read_text("utf-8")) if file.exists() else self._packed.get(name)
        return record

    def pack(self) -> Path:
        """Gather all runs into the archive and remove their files; returns the archive."""
        loose = sorted((self.folder / RAW).glob("*.json"))
        records = self._packed | {file.stem: json.loads(file.read_text("utf-8")) for file in loose}
        text = b"".join(_line({"run": name, **records[name]}) + b"\n" for name in sorted(records))
        archive = self.folder / ARCHIVE
        _write(archive, lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
        self._packed = records
        for file in loose:
            file.unlink()
        return archive


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(content)
    sync(partial)
    partial.rename(file)


def _columns(curve: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in curve for name in row)
    return {name: [_short(row.get(name)) for row in curve] for name in names}


def _short(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
