"""Workload and rates of a run that exists, from its folder: ``settings.json``, ``metrics.jsonl``.

Totals over the policy steps but the first. The trainer's rate is that of the time it did not wait;
the fleet's is what it delivered, which is less than it could where the trainer was the slower side:
then give the generators' rate yourself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vapo.local.run_folders.metrics_rows import METRICS_FILE, read_rows
from vapo.local.run_folders.run_folder import RunFolder
from vapo.planning.quantities import Rates, Workload
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
    rows = policy_steps(directory / METRICS_FILE)
    work = Workload(
        prompts_per_step=settings.trainer.prompts_per_step,
        samples_per_prompt=settings.sampling.samples_per_prompt,
        response_tokens=_total(rows, "tokens") / _total(rows, "rollouts"),
        longest_response=settings.sampling.max_new_tokens,
        max_staleness=settings.ledger.max_staleness,
    )
    idle = sum(row["seconds"].get("wait", 0.0) for row in rows)
    publishing = sum(row["seconds"].get("publish", 0.0) for row in rows)
    tokens, seconds = _total(rows, "tokens"), _total(rows, "step_seconds")
    rates = Rates(
        generators=generators,
        generator_tokens_per_second=tokens / seconds / generators,
        trainer_tokens_per_second=tokens / max(1e-9, seconds - idle - publishing),
        sequences=settings.generator.max_concurrent_sequences,
        publish_seconds=publishing / len(rows),
    )
    return work, rates, settings


def policy_steps(path: Path) -> list[dict[str, Any]]:
    """Rows of all policy steps but the first, which waits for start-up.

    Raises:
        MeasurementError: as above.
    """
    try:
        rows = read_rows(path)
    except (OSError, ValueError) as error:
        raise MeasurementError(f"{path} cannot be read: {error}") from None
    steps = [row for row in rows if "step" in row and "pretraining_step" not in row][1:]
    if len(steps) < FEWEST_STEPS:
        raise MeasurementError(
            f"{path} holds {len(steps)} policy steps after the first; {FEWEST_STEPS} are needed, let the run go on"
        )
    return steps


def _total(rows: Sequence[dict[str, Any]], name: str) -> float:
    return sum(float(row[name]) for row in rows)
