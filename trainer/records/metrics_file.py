"""``metrics.jsonl``: one JSON object a line for each step, for people and plots."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class MetricsFile:
    """Append-only but for one thing: a resumed trainer takes back the steps it will do again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, row: dict[str, Any]) -> None:
        """Add one row."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def forget_after(self, step: int, pretraining_step: int) -> None:
        """Drop the rows of later steps, and a last line that was cut off by a crash."""
        if not self._path.exists():
            return
        kept = [
            line
            for line in self._path.read_text(encoding="utf-8").splitlines()
            if _is_within(line, step, pretraining_step)
        ]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        os.replace(partial, self._path)


def _is_within(line: str, step: int, pretraining_step: int) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    if "pretraining_step" in row:
        return row["pretraining_step"] <= pretraining_step
    return row.get("step", 0) <= step
