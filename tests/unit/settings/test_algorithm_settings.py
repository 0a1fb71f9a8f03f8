"""Settings of the algorithm: what is refused where they are read, so that no trainer starts with it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import pytest

from vapo.cli import main
from vapo.settings import AlgorithmSettings
from vapo.settings.corrections import Bounds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"correction": "none", "correction_high": 2.0}, "correction='none' has no high bound"),
        ({"correction": "decoupled", "correction_low": 0.5}, "has no low bound"),
        ({"correction": "token_tis", "correction_low": 0.5}, "has no low bound"),
        ({"correction": "token_tis", "correction_high": 0.9}, "would not count in full"),
        ({"correction": "icepop", "correction_low": 1.2}, "would not count; set it to 0 or more"),
        ({"correction": "dis", "correction_high": 1.0}, "set it to more than 1"),
        ({"correction": "cispo", "dual_clip": 3.0}, "dual_clip=3.0.*has no clipped surrogate"),
        ({"correction": "dis", "dual_clip": 3.0}, "bounds the ratio itself"),
        ({"correction": "dppo", "correction_high": 1.3}, "correction_high=1.3.*difference of prob"),
        ({"correction": "dppo", "correction_low": 0.0}, "correction_low=0.0.*more than 0"),
        ({"correction": "vtrace"}, "'vtrace' is unknown; use one of none, token_tis"),
    ],
)
def test_corrections_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AlgorithmSettings(**changes)


def test_bounds_default_to_the_corrections_own() -> None:
    assert AlgorithmSettings(correction="icepop").correction_bounds == Bounds(0.5, 5.0)
    assert AlgorithmSettings(correction="icepop", correction_high=2.0).correction_bounds == Bounds(0.5, 2.0)
    assert AlgorithmSettings(correction="decoupled").correction_bounds == Bounds(0.0, math.inf)
    assert AlgorithmSettings(correction="dppo", correction_high=0.3).correction_bounds == Bounds(0.2, 0.3)


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0.0},
        {"lambda_critic": 1.1},
        {"lambda_policy": -0.1},
        {"clip_low": 1.0},
        {"clip_high": 0.0},
        {"positive_example_weight": -1.0},
        {"correction_low": 3.0},
        {"dual_clip": 0.9},
        {"estimator": "mc"},
        {"entropy_weight": -0.1},
        {"truncation": "drop"},
    ],
)
def test_impossible_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        AlgorithmSettings(**change)


REFUSED = [
    (("--set", "algorithm.correction=dis", "--set", "algorithm.dual_clip=3"), "algorithm.dual_clip=3.0"),
    (("--set", "algorithm.correction=dis", "--set", "algorithm.correction_low=1.5"), "algorithm.correction_low=1.5"),
    (
        ("--set", "algorithm.truncation=mask_and_punish", "--set", "sampling.max_new_tokens=16"),
        "algorithm.overlong_buffer_tokens=32",
    ),
]
"""Arguments, and how the one line begins that refuses them."""


@pytest.mark.parametrize(("arguments", "words"), [*REFUSED, (("--preset", "dapo", *REFUSED[2][0][2:]), REFUSED[2][1])])
def test_vapo_config_refuses_in_one_line(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", *arguments]) != 0
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(("arguments", "words"), REFUSED)
def test_the_trainer_ends_as_one_that_would_end_so_at_every_start(arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == os.EX_CONFIG
    assert words in done.stderr
    assert "Traceback" not in done.stderr
