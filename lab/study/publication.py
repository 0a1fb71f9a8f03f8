"""The files a study leaves behind: tables, ``results.json``, curves."""

from __future__ import annotations

from pathlib import Path

from lab.study.configuration import Regime
from lab.study.plot import draw, draw_map
from lab.study.report import collect, map_table, results, table, write_map_results, write_results
from lab.study.store import Runs
from lab.study.studies import Study


def publish(study: Study, seeds: int, runs: Runs, folder: Path) -> list[Path]:
    """Write to ``folder`` what the finished ``runs`` show; returns the files.

    A study of one regime gets ``results.json``, ``table.md`` and curves; every study of several
    regimes gets ``map.md``, its picture and ``results.json`` with an entry per regime.
    """
    regimes = {regime: collect(study, regime, seeds, runs) for regime in study.regimes}
    finished = {regime: records for regime, records in regimes.items() if records}
    if not finished:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    if len(study.regimes) > 1:
        write_map_results(
            folder / "results.json",
            {name: results(describe(study.regimes[name]), records) for name, records in finished.items()},
        )
        draw_map(finished, study.variants, folder / "map.svg")
        table_file = _write(folder / "map.md", map_table(finished, study.variants))
        return [table_file, folder / "results.json", folder / "map.svg"]
    ((regime, records),) = finished.items()
    write_results(folder / "results.json", results(describe(study.regimes[regime]), records))
    draw(records, folder / "curves.svg")
    return [folder / "results.json", _write(folder / "table.md", table(records)), folder / "curves.svg"]


def describe(regime: Regime) -> str:
    """The task and the budget in words."""
    alpha = "" if regime.alpha is None else f", alpha {regime.alpha:g}"
    return (
        f"{regime.task.words}, one reward at the end, "
        f"{regime.samples_per_prompt} responses per prompt, {regime.rollout_budget} responses "
        f"in all, staleness {regime.staleness}, actor learning rate "
        f"{regime.actor_learning_rate:g}{alpha}; held-out accuracy at temperature 1"
    )


def _write(file: Path, text: str) -> Path:
    file.write_text(text + "\n", "utf-8")
    return file
