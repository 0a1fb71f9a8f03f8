"""Two gloo ranks under torchrun train exactly as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.trainer_ranks import main

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("trainer_ranks.py")


def _run_two_ranks(form: str, tied: str, output: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(SCRIPT), form, tied, str(output)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "tied"), [("qwen3", "tied"), ("llama", "untied")])
def test_two_ranks_give_the_losses_and_weights_of_one(
    tmp_path: Path, form: str, tied: str
) -> None:
    alone, together = tmp_path / "1", tmp_path / "2"
    alone.mkdir()
    together.mkdir()
    main(form, tied == "tied", alone)
    _run_two_ranks(form, tied, together)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (alone, together)]
    for one, two in zip(*metrics, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name
    states = [load_file(folder / "weights.safetensors") for folder in (alone, together)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-3, atol=1e-5, msg=name)
