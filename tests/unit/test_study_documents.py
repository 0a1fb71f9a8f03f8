"""docs/ablation shows what its raw data holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.study.report import collect, map_table, results, table
from trainer.study.studies import STUDIES
from trainer.study.variants import VARIANTS

FOLDER = Path(__file__).parents[2] / "docs" / "ablation"
SEEDS = 5


@pytest.fixture(scope="module")
def published() -> dict[str, dict]:
    """``results.json``."""
    return json.loads((FOLDER / "results.json").read_text("utf-8"))


def test_every_variant_is_there_with_five_seeds(published: dict[str, dict]) -> None:
    assert set(published) == {"task", "variants"}
    assert set(published["variants"]) == set(VARIANTS)
    assert {len(entry["seeds"]) for entry in published["variants"].values()} == {SEEDS}


def test_results_and_table_follow_from_the_raw_data(published: dict[str, dict]) -> None:
    records = collect(STUDIES["main"], "main", SEEDS, FOLDER)
    assert results(str(published["task"]), records) == published
    assert table(records) in (FOLDER / "README.md").read_text("utf-8")


def test_the_map_of_learning_rates_follows_from_the_raw_data() -> None:
    study = STUDIES["rates"]
    regimes = {name: collect(study, name, SEEDS, FOLDER / "rates")
               for name in ("rate-0.0003", "rate-0.001")}
    assert map_table(regimes, study.variants) == (
        FOLDER / "rates" / "map.md").read_text("utf-8").strip()
