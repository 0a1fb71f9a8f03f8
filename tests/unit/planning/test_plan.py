"""``vapo plan``: figures worked out by hand, what limits, a run's folder, the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vapo.cli.dispatch import main
from vapo.planning import closed_forms
from vapo.planning.measured import MeasurementError, measure_run
from vapo.planning.plan import Plan, make_plan
from vapo.planning.plan_table import size
from vapo.planning.quantities import Deployment, ModelSize, Rates, Workload
from vapo.settings import Settings, dump_settings, load_settings

WORK = Workload(4, 16, 1000, 4000, max_staleness=1)
RATES = Rates(4, 1000.0, 8000.0)
MODEL = ModelSize(7e9, 2, layers=28, kv_heads=4)
HERE = Deployment()


def _limits(
    work: Workload = WORK, rates: Rates = RATES, model: ModelSize = MODEL, deployment: Deployment = HERE
) -> dict[str, str]:
    """What limits, with its remedy; the step's limit first."""
    plan = make_plan(work, rates, model, deployment, steps=12)
    return {finding.what: finding.remedy for finding in plan.findings}


def test_figures_are_those_of_the_formulas() -> None:
    assert closed_forms.generation_seconds(WORK, RATES) == 16.0
    assert closed_forms.training_seconds(WORK, RATES) == 8.0
    assert closed_forms.generators_needed(WORK, RATES) == 8
    assert closed_forms.sync_bytes(MODEL, RATES, HERE, relay=False) == 14e9 * 5
    assert closed_forms.sync_bytes(MODEL, RATES, HERE, relay=True) == 14e9 * 2
    assert closed_forms.checkpoint_bytes(MODEL) == 168e9
    assert MODEL.cache_bytes_per_token == 2 * 28 * 4 * 128 * 2
    assert closed_forms.redis_traffic(WORK) == (64 * 26_000, 64 * 43_000)
    in_redis = (128 + 640 + 5000) * (1300 + 24_000) * 1.15
    assert closed_forms.redis_bytes(WORK, HERE) == pytest.approx(in_redis)


@pytest.mark.parametrize(
    ("changes", "limit", "remedy"),
    [
        ({}, "generation", "8 generators would"),
        ({"generators": 20}, "the trainer", "8 generators would do"),
        ({"standstill_seconds": 9.0}, "weight updates", "publish every few steps"),
        ({"generators": 8, "sequence_tokens_per_second": 20.0}, "the longest responses", "max_new_tokens"),
    ],
)
def test_the_steps_limit_is_named_first(changes: dict[str, Any], limit: str, remedy: str) -> None:
    found = _limits(rates=replace(RATES, **changes))
    assert next(iter(found)) == limit
    assert remedy in found[limit]


@pytest.mark.parametrize("max_staleness", [0, 1, 3])
def test_what_is_advised_about_publications_is_accepted_by_the_settings(max_staleness: int) -> None:
    slow = replace(RATES, standstill_seconds=9.0)
    poor = Deployment(uplink_bytes_per_second=1e8, generators_per_host=1)
    found = _limits(replace(WORK, max_staleness=max_staleness), slow, deployment=poor)
    advice = [remedy for remedy in found.values() if "publish_every_steps" in remedy]
    assert advice
    for remedy in advice:
        [steps] = re.findall(r"publish_every_steps (?:up to )?(\d+)", remedy)
        allowed = re.findall(r"max_staleness (\d+)", remedy) or [max_staleness]
        load_settings(None, [f"trainer.publish_every_steps={steps}", f"ledger.max_staleness={allowed[0]}"], {})


def test_without_staleness_both_sides_take_turns() -> None:
    found = _limits(work=replace(WORK, max_staleness=0))
    assert "max_staleness 1" in found["both sides in turn"]


def test_memory_network_and_cache_are_watched() -> None:
    poor = Deployment(uplink_bytes_per_second=1e9, redis_memory_bytes=1e6, cache_memory_bytes=1e9)
    found = _limits(deployment=poor)
    assert {"Redis memory", "the trainer's uplink", "the key-value cache"} < found.keys()
    assert "relay" in found["the trainer's uplink"]
    assert "Redis memory" not in _limits()
    roomy = replace(poor, cache_memory_bytes=1e12, redis_memory_bytes=1e12, uplink_bytes_per_second=1e12)
    assert list(_limits(deployment=roomy)) == ["generation"]


def _run_folder(folder: Path, steps: int) -> Path:
    settings = Settings.model_validate(
        {
            "run": {"directory": folder},
            "sampling": {"samples_per_prompt": 8, "max_new_tokens": 200},
            "trainer": {"prompts_per_step": 16, "mini_batch_rollouts": 64},
            "ledger": {"max_staleness": 2},
        }
    )
    (folder / "settings.json").write_text(json.dumps(dump_settings(settings)))
    rows: list[dict[str, Any]] = [{"pretraining_step": 1}]
    rows += [
        {
            "step": step,
            "tokens": 12_800,
            "rollouts": 128,
            "step_seconds": 10.0,
            "seconds": {"wait": 1.0, "publish": 1.0, "actor": 8.0},
        }
        for step in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_runs_folder_tells_its_rates(tmp_path: Path) -> None:
    work, rates, settings = measure_run(_run_folder(tmp_path, 6), generators=2)
    assert (work.rollouts, work.response_tokens, work.max_staleness) == (128, 100.0, 2)
    assert rates.trainer_tokens_per_second == pytest.approx(1600)
    assert rates.fleet_tokens_per_second == pytest.approx(1280)
    assert rates.publish_seconds == 1.0
    assert rates.sequences == settings.generator.max_concurrent_sequences


def test_too_short_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="1 policy steps after the first; 3 are needed"):
        measure_run(_run_folder(tmp_path, 2))


def test_the_command_prints_a_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "plan",
        "--parameters",
        "7e9",
        "--prompts",
        "4",
        "--samples",
        "16",
        "--mean-length",
        "1000",
        "--max-length",
        "4000",
        "--generator-rate",
        "1000",
        "--trainer-rate",
        "1000",
        "--steps",
        "12",
    ]
    assert main([*words, "--gpus", "9", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan.keys() == Plan.__dataclass_fields__.keys()
    assert plan["rates"]["generators"] in (4, 5)
    assert main([*words, "--generators", "4"]) == 0
    table = capsys.readouterr().out
    for text in ("64 rollouts a step", "staleness", "Redis memory", "with relays", "Limits: the"):
        assert text in table


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--generator-rate", "5"], "--trainer-rate"),
        (["--generator-rate", "5", "--trainer-rate", "5", "--mean-length", "30000"], "not below"),
        (["--generator-rate", "5", "--trainer-rate", "5", "--gpus", "1"], "too few"),
        (["--from-run", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_planned_is_explained(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--parameters", "7e9", *words]) == 1
    assert complaint in capsys.readouterr().err


def test_sizes_are_readable() -> None:
    assert [size(count) for count in (0, 999, 1500, 14e9, 2e18)] == ["0 B", "999 B", "1.5 kB", "14 GB", "2e+03 PB"]
