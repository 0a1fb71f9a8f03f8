"""Two gloo ranks under torchrun, on one node or on two, train exactly as one does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.trainer.trainer_ranks import main
from tests.support.torchrun import run_on_nodes

SCRIPT = Path(__file__).with_name("trainer_ranks.py")
MIXED_PRECISION = Path(__file__).with_name("mixed_precision_ranks.py")


def _run_two_ranks(form: str, tied: str, output: Path) -> None:
    run_on_nodes(1, 2, [str(SCRIPT), form, tied, str(output)])


def _run_two_nodes(form: str, tied: str, output: Path) -> None:
    run_on_nodes(2, 1, [str(SCRIPT), form, tied, str(output)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "form", "tied"),
    [(_run_two_ranks, "qwen3", "tied"), (_run_two_ranks, "llama", "untied"), (_run_two_nodes, "qwen3", "untied")],
)
def test_two_ranks_give_the_losses_and_weights_of_one(
    tmp_path: Path, run: Callable[[str, str, Path], None], form: str, tied: str
) -> None:
    alone, together = tmp_path / "1", tmp_path / "2"
    alone.mkdir()
    together.mkdir()
    main(form, tied == "tied", alone)
    run(form, tied, together)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (alone, together)]
    for one, two in zip(*metrics, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name
    states = [load_file(folder / "weights.safetensors") for folder in (alone, together)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.slow
def test_sharded_ranks_compute_in_bfloat16_what_float32_gives() -> None:
    run_on_nodes(1, 2, [str(MIXED_PRECISION)])
