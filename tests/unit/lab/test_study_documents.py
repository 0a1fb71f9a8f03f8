"""lab/results/ablation shows what its runs hold, and docs/results.md what the study shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.study.publication import describe
from lab.study.report import Records, accuracies, collect, map_table, pooled_table, results, table
from lab.study.statistics import mean_interval
from lab.study.store import Runs, run_name
from lab.study.studies import KEY_PIECES, METHODS, STUDIES
from lab.study.variants import VARIANTS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "lab" / "results" / "ablation"
RUNS = Runs(FOLDER)
RESULTS = ROOT / "docs" / "results.md"
SEEDS = 24
FEWEST_SEEDS = 5
TABLES = ["main", *sorted(file.parent.name for file in FOLDER.glob("*/table.md"))]
MAPS = sorted(folder.parent.name for folder in FOLDER.glob("*/map.md"))


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def _folder(study: str) -> Path:
    return FOLDER if study == "main" else FOLDER / study


def _map_records(study: str) -> dict[str, Records]:
    regimes = {name: collect(STUDIES[study], name, SEEDS, RUNS) for name in STUDIES[study].regimes}
    return {name: records for name, records in regimes.items() if records}


def test_every_variant_of_the_main_study_is_there() -> None:
    published = _read(FOLDER / "results.json")
    assert set(published) == {"task", "variants"}
    assert set(published["variants"]) == set(VARIANTS)
    assert min(len(entry["seeds"]) for entry in published["variants"].values()) >= FEWEST_SEEDS


@pytest.mark.parametrize("study", TABLES)
def test_results_and_table_follow_from_the_raw_data(study: str) -> None:
    ((regime, settings),) = STUDIES[study].regimes.items()
    records = collect(STUDIES[study], regime, SEEDS, RUNS)
    assert results(describe(settings), records) == _read(_folder(study) / "results.json")
    assert table(records) in (FOLDER / "README.md").read_text("utf-8")


def test_the_published_studies_are_found() -> None:
    assert {"main", "mixed"} <= set(TABLES)
    assert "rates" in MAPS


@pytest.mark.parametrize("study", MAPS)
def test_a_map_follows_from_its_raw_data(study: str) -> None:
    records = _map_records(study)
    shown = map_table(records, STUDIES[study].variants)
    assert shown == (FOLDER / study / "map.md").read_text("utf-8").strip()
    assert shown in (FOLDER / "README.md").read_text("utf-8")
    assert _read(FOLDER / study / "results.json") == {
        name: results(describe(STUDIES[study].regimes[name]), regime) for name, regime in records.items()
    }


def test_the_pooled_differences_follow_from_the_raw_data() -> None:
    regimes = {name: collect(STUDIES[name], name, SEEDS, RUNS) for name in ("main", "steady", "mixed", "long", "demo")}
    text = (FOLDER / "README.md").read_text("utf-8")
    assert pooled_table(regimes, KEY_PIECES) in text
    decoupled = _map_records("decoupled")
    for both, one in (
        ("no_value_pretraining_nor_decoupled", "no_value_pretraining"),
        ("no_length_adaptive_nor_decoupled", "no_length_adaptive_lambda"),
    ):
        assert pooled_table(decoupled, (both,), one) in text


def test_every_run_kept_is_one_of_a_study() -> None:
    """A run made under other settings would be carried along unseen: the tables leave it out."""
    expected = {
        run_name(configuration)
        for study in ("main", *TABLES, *MAPS)
        for _, configuration in STUDIES[study].configurations(SEEDS)
    }
    assert RUNS.names
    assert RUNS.names <= expected


@pytest.mark.parametrize(
    ("study", "regime", "words"),
    [
        ("main", "main", "responses of 67 tokens, 24 seeds"),
        ("long", "long", "responses of 515 tokens, 5 seeds"),
        ("steady", "steady", "67 tokens, half the learning rate, 16 seeds"),
    ],
)
def test_the_main_table_repeats_the_studys_figures(study: str, regime: str, words: str) -> None:
    records = collect(STUDIES[study], regime, SEEDS, RUNS)
    levels = [mean_interval(accuracies(records[name])) for name in METHODS]
    cells = [f"{level.mean:.2f} [{level.low:.2f}, {level.high:.2f}]" for level in levels]
    assert {len(records[name]) for name in METHODS} == {int(words.split()[-2])}
    assert f"| {words} | {' | '.join(cells)} |" in RESULTS.read_text("utf-8")


def test_the_main_results_repeat_what_each_piece_is_worth() -> None:
    records = collect(STUDIES["main"], "main", SEEDS, RUNS)
    rows = [line.split(" | ") for line in table(records).splitlines() if line.startswith("| VAPO without ")]
    assert len(rows) == 7
    text = RESULTS.read_text("utf-8")
    for title, _, _, difference, interval, _ in rows:
        assert f"| {title.removeprefix('| VAPO without ')} | {difference} | {interval} |" in text


def test_the_results_name_every_methods_best_rate() -> None:
    regimes = _map_records("rates")
    best = {
        name: max(mean_interval(accuracies(records[name])).mean for records in regimes.values()) for name in METHODS
    }
    shown = ", ".join(
        f"{name} {best[method]:.2f}".replace(" 0.", " .")
        for method, name in (("vapo", "VAPO"), ("grpo", "GRPO"), ("dapo", "DAPO"), ("ppo", "PPO"))
    )
    assert f"({shown})" in RESULTS.read_text("utf-8")


def test_the_results_say_how_far_dapo_is_ahead_on_the_demos_task() -> None:
    records = collect(STUDIES["demo"], "demo", SEEDS, RUNS)
    lead = mean_interval(accuracies(records["dapo"])).mean - mean_interval(accuracies(records["vapo"])).mean
    assert f"DAPO is {lead:.2f} ahead of VAPO".replace(" 0.", " .") in RESULTS.read_text("utf-8")
