"""The study's sampler, single runs, resuming and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lab.sampler import sample
from lab.study import execution
from lab.study.__main__ import main
from lab.study.command import UNFINISHED
from lab.study.configuration import Configuration, from_json, to_json
from lab.study.run import RunResult, run
from lab.study.store import ARCHIVE, RAW, Runs, run_name, save
from lab.study.studies import STUDIES
from lab.study.variants import COMBINED, VARIANTS, configure
from tests.support.tiny_models import log_probs_of, tiny_model

SMOKE = STUDIES["smoke"].regimes["smoke"]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of base models for all tests."""
    return tmp_path_factory.mktemp("bases")


def test_sampled_log_probs_are_the_models_own() -> None:
    model = tiny_model(0)
    prompts = [[5, 9, 7], [8], [30, 31, 32, 33, 34]]
    responses = sample(model, prompts * 4, 12, 2, torch.Generator().manual_seed(0))
    for prompt, response in zip(prompts * 4, responses, strict=True):
        expected = log_probs_of(model, prompt + response.token_ids)[len(prompt) - 1 :]
        assert response.log_probs == pytest.approx(expected, abs=1e-4)


def test_a_response_ends_with_the_end_token_or_is_truncated() -> None:
    model = tiny_model(0, sharpness=0.02)
    responses = sample(model, [[5]] * 200, 30, 2, torch.Generator().manual_seed(0))
    assert {response.truncated for response in responses} == {True, False}
    for response in responses:
        assert response.truncated == (response.token_ids[-1] != 2)
        assert 2 not in response.token_ids[:-1]
        assert len(response.token_ids) == 30 or not response.truncated


def test_frequencies_follow_the_model() -> None:
    model = tiny_model(3, sharpness=0.05)
    responses = sample(model, [[7, 8]] * 4000, 1, 2, torch.Generator().manual_seed(0))
    counts = (
        torch.bincount(
            torch.tensor([response.token_ids[0] for response in responses]), minlength=model.config.vocab_size
        )
        / 4000
    )
    expected = torch.softmax(model(input_ids=torch.tensor([[7, 8]])).logits[0, -1], -1)
    assert (counts - expected).abs().max() < 0.02


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_spend_the_same_rollouts(variant: str) -> None:
    regime = configure(variant, 0, SMOKE).regime
    assert regime.rollout_budget == SMOKE.rollout_budget
    assert regime.rollouts_per_step == SMOKE.rollouts_per_step
    assert regime.samples_per_prompt == (1 if variant == "no_group_sampling" else 2)


def test_a_variant_differs_from_vapo_in_its_piece_alone() -> None:
    vapo, without = configure("vapo", 0, SMOKE), configure("no_decoupled_gae", 0, SMOKE)
    assert without.algorithm_settings() == vapo.with_algorithm(decoupled_gae=False).algorithm_settings()
    assert not configure("no_value_pretraining", 0, SMOKE).value_pretraining


@pytest.mark.parametrize(
    ("combined", "one"), list(zip(COMBINED, ("no_value_pretraining", "no_length_adaptive_lambda"), strict=True))
)
def test_a_combined_variant_is_another_without_decoupled_gae(combined: str, one: str) -> None:
    both, alone = configure(combined, 0, SMOKE), configure(one, 0, SMOKE)
    assert both.algorithm_settings() == alone.with_algorithm(decoupled_gae=False).algorithm_settings()
    assert both.value_pretraining == alone.value_pretraining


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="no_such"):
        configure("no_such", 0, SMOKE)


def test_a_configuration_survives_its_json_form() -> None:
    configuration = configure("dapo", 3, SMOKE).with_algorithm(correction="icepop")
    assert from_json(json.loads(json.dumps(to_json(configuration)))) == configuration


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["vapo", "dapo", "ppo"])
def test_a_run_follows_from_its_configuration(variant: str, bases: Path) -> None:
    configuration = configure(variant, 1, replace(SMOKE, staleness=1))
    first, again = run(configuration, bases), run(configuration, bases)
    assert first.curve == again.curve
    assert first.accuracy == again.accuracy
    assert [row["step"] for row in first.curve] == [0, 1, 2, 3]
    phases = {row["phase"] for row in first.curve}
    assert phases == {"reinforcement learning"} | ({"value pretraining"} if variant == "vapo" else set())


def test_stale_rollouts_come_from_older_weights(bases: Path) -> None:
    one_update = replace(SMOKE, mini_batches=1)
    fresh, stale = (
        [
            abs(float(row["policy/kl_from_behaviour"] or 0))
            for row in run(configure("ppo", 0, replace(one_update, staleness=steps)), bases).curve
        ]
        for steps in (0, 2)
    )
    assert [distance < 1e-6 for distance in fresh] == [True] * 4
    assert stale[0] < 1e-6 < stale[2]


def _result(accuracy: float) -> RunResult:
    return RunResult(accuracy, [{"step": 0, "reward": 0.123456789}], 1.0)


def test_a_result_is_found_by_its_configuration_alone(tmp_path: Path) -> None:
    configuration = configure("vapo", 0, SMOKE)
    save(tmp_path, configuration, _result(0.5))
    runs = Runs(tmp_path)
    record = runs.load(configuration)
    assert record is not None
    assert record["accuracy"] == 0.5
    assert record["curve"]["reward"] == [0.12346]
    assert runs.load(replace(configuration, seed=1)) is None
    assert runs.load(configuration.with_algorithm(alpha=0.4)) is None
    assert not list(tmp_path.rglob("*.partial"))


def test_packed_runs_are_the_same_records_in_the_same_bytes(tmp_path: Path) -> None:
    configurations = [configure(variant, seed, SMOKE) for variant in ("vapo", "ppo") for seed in range(3)]
    for folder, order in ((tmp_path / "one", configurations), (tmp_path / "other", configurations[::-1])):
        for configuration in order[:4]:
            save(folder, configuration, _result(configuration.seed / 10))
        Runs(folder).pack()
        for configuration in order[4:]:
            save(folder, configuration, _result(configuration.seed / 10))
        before = [Runs(folder).load(configuration) for configuration in configurations]
        assert [(record or {})["accuracy"] for record in before] == [0, 0.1, 0.2] * 2
        runs = Runs(folder)
        assert runs.pack() == folder / ARCHIVE
        assert not list((folder / RAW).iterdir())
        for one in (runs, Runs(folder)):
            assert one.names == {run_name(configuration) for configuration in configurations}
            assert [one.load(configuration) for configuration in configurations] == before
    assert (tmp_path / "one" / ARCHIVE).read_bytes() == (tmp_path / "other" / ARCHIVE).read_bytes()


def test_an_interrupted_study_repeats_no_finished_run(
    tmp_path: Path, bases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Configuration] = []

    def pretend(configuration: Configuration, bases: Path) -> RunResult:
        if len(done) == 3 and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        done.append(configuration)
        return _result(0.5)

    interrupted: list[bool] = []
    monkeypatch.setattr(execution, "run", pretend)
    jobs = STUDIES["smoke"].narrowed(None, ["vapo", "ppo"]).configurations(4)
    with pytest.raises(KeyboardInterrupt):
        execution.carry_out(jobs, Runs(tmp_path), bases, 1, report=lambda line: None)
    assert execution.carry_out(jobs, Runs(tmp_path), bases, 1, report=lambda line: None)
    assert done == [configuration for _, configuration in jobs]
    assert Runs(tmp_path).names == {run_name(one) for _, one in jobs}


def test_a_failed_run_names_itself(tmp_path: Path, bases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(configuration: Configuration, bases: Path) -> RunResult:
        raise FloatingPointError("gradient norm is nan")

    monkeypatch.setattr(execution, "run", fail)
    jobs = STUDIES["smoke"].narrowed(None, ["vapo"]).configurations(1)
    with pytest.raises(RuntimeError, match="smoke/vapo, seed 0, failed: gradient norm"):
        execution.carry_out(jobs, Runs(tmp_path), bases, 1, report=lambda line: None)


@pytest.mark.slow
def test_a_smoke_study_leaves_tables_and_curves(tmp_path: Path, bases: Path) -> None:
    words = [
        "--study",
        "smoke",
        "--seeds",
        "2",
        "--processes",
        "1",
        "--out",
        str(tmp_path),
        "--bases",
        str(bases),
        "--variants",
        "vapo",
        "no_decoupled_gae",
        "grpo",
    ]
    assert main([*words, "--minutes", "0"]) == UNFINISHED
    assert main([*words, "--pack"]) == 0
    assert len(Runs(tmp_path).names) == 6
    assert main([*words, "--minutes", "0"]) == 0
    results = json.loads((tmp_path / "smoke" / "results.json").read_text("utf-8"))
    assert set(results["variants"]) == {"vapo", "no_decoupled_gae", "grpo"}
    assert set(results["variants"]["vapo"]) == {"mean", "low", "high", "seeds"}
    assert len(results["variants"]["vapo"]["seeds"]) == 2
    table = (tmp_path / "smoke" / "table.md").read_text("utf-8")
    assert "| GRPO |" in table
    assert (tmp_path / "smoke" / "curves.svg").stat().st_size > 1000
