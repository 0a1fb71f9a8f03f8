"""The rows of a run's `metrics.jsonl`, also while it is being written.

Invariant: a row that is not written to its end yet is left for the next look.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"
Row = dict[str, Any]
"""A step's figures by name: a training step has `step`, a batch of value pretraining `pretraining_step`."""


def read_rows(file: Path) -> list[Row]:
    """All whole rows, oldest first.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is no JSON, or not UTF-8.
    """
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
