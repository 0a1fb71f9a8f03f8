"""The metrics rows a run has written so far, sorted out.

Invariant: a step done again after a resume counts once, the later row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vapo.local.run_folders.metrics_rows import METRICS_FILE, Row, read_rows


@dataclass(frozen=True, slots=True)
class MetricsRows:
    """Rows in order."""

    pretraining: list[Row]
    training: list[Row]

    @property
    def newest(self) -> Row:
        """The newest row of training, or else of value pretraining, or else an empty one."""
        return next(iter([*self.training[-1:], *self.pretraining[-1:]]), {})

    @property
    def step(self) -> int:
        """Training steps done."""
        return int(self.training[-1]["step"]) if self.training else 0

    @property
    def tokens(self) -> int:
        """Response tokens trained on."""
        return sum(int(row["tokens"]) for row in self.training)


def rows_so_far(folder: Path) -> MetricsRows:
    """All whole rows of the run in `folder`."""
    try:
        whole = read_rows(folder / METRICS_FILE)
    except FileNotFoundError:
        whole = []
    training = {row["step"]: row for row in whole if "step" in row}
    pretraining = {row["pretraining_step"]: row for row in whole if "pretraining_step" in row}
    return MetricsRows(
        [pretraining[step] for step in sorted(pretraining)], [training[step] for step in sorted(training)]
    )
