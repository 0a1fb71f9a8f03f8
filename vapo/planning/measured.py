"""Workload and rates of a run that exists, from its folder: ``settings.json``, ``metrics.jsonl``.

Medians over the policy steps but the first. The trainer's rate is that of the time it did not wait;
the fleet's is what it delivered, which is less than it could where the trainer was the slower side.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vapo.planning.quantities import Rates, Workload
from vapo.run_folder import RunFolder
from vapo.settings import Settings

FEWEST_STEPS = 3


class MeasurementError(ValueError):
    """The folder does not tell enough; the text names what is missing."""


def measure_run(directory: Path, generators: int = 1) -> tuple[Workload, Rates, Settings]:
    """Workload, rates and settings of the run in ``directory``.

    Raises:
        MeasurementError: too few policy steps, or no metrics.
        RunFolderError: no readable settings.
    """
    settings = RunFolder(directory).read_settings()
    rows = policy_steps(directory / "metrics.jsonl")
    work = Workload(
        prompts_per_step=settings.trainer.prompts_per_step,
        samples_per_prompt=settings.sampling.samples_per_prompt,
        response_tokens=_median(rows, "response_length"),
        longest_response=settings.sampling.max_new_tokens,
        max_staleness=settings.ledger.max_staleness)
    rates = Rates(
        generators=generators,
        generator_tokens_per_second=_median(rows, "tokens_per_second") / generators,
        trainer_tokens_per_second=statistics.median(_trainer_rate(row) for row in rows),
        sequences=settings.generator.max_concurrent_sequences,
        publish_seconds=statistics.median(row["seconds"].get("publish", 0.0) for row in rows))
    return work, rates, settings


def policy_steps(path: Path) -> list[dict[str, Any]]:
    """Rows of all policy steps but the first, which waits for start-up.

    Raises:
        MeasurementError: as above.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise MeasurementError(f"{path} cannot be read: {error}") from None
    steps = [row for row in rows if "step" in row and "pretraining_step" not in row][1:]
    if len(steps) < FEWEST_STEPS:
        raise MeasurementError(f"{path} holds {len(steps)} policy steps after the first; "
                               f"{FEWEST_STEPS} are needed, let the run go on")
    return steps


def _median(rows: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.median(float(row[name]) for row in rows)


def _trainer_rate(row: dict[str, Any]) -> float:
    idle = row["seconds"].get("wait", 0.0) + row["seconds"].get("publish", 0.0)
    return float(row["tokens"]) / max(1e-9, row["step_seconds"] - idle)
