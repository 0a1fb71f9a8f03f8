"""`vapo ablate`: VAPO against its leave-one-out variants, PPO, GRPO and DAPO.

Invariant: options are the study's own (`lab/study/__main__.py`), which checks them; here they
are only named and handed on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from vapo.installation import check_installed
from vapo.processes.python_module import module_command

_OPTIONS = (
    ("--study", 1, "NAME", "which study (default: main): main, lengths, samples, staleness, ..."),
    ("--seeds", 1, "N", "seeds 0 to N - 1, paired between variants (default: 5)"),
    ("--out", 1, "DIR", "folder of the results (default: runs/ablation)"),
    ("--variants", "+", "VARIANT", "only these: vapo, ppo, grpo, dapo, no_value_pretraining, ..."),
    ("--regimes", "+", "REGIME", "only these of the study's regimes"),
    ("--processes", 1, "N", "runs at a time, one thread each (default: the cores)"),
    ("--minutes", 1, "M", "start no further run after this time; status 3 if some are left"),
    ("--bases", 1, "DIR", "where base models are kept (default: runs/study-bases)"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.description = (
        "Compare VAPO, its seven leave-one-out variants, PPO, GRPO and DAPO at equal budgets of "
        "rollouts on a small task, on the CPU. The algorithm is the trainer's own; rollouts come "
        "from a sampler in the same process, without vLLM, Redis and HTTP. An interrupted study "
        "goes on where it was: every finished run is a file under --out. Results are tables, "
        "results.json and learning curves (PNG and SVG)."
    )
    for flag, count, metavar, text in _OPTIONS:
        parser.add_argument(flag, nargs=count, metavar=metavar, help=text)


def run(arguments: argparse.Namespace) -> int:
    """Run the study in a process of its own, since this package does not import the trainer."""
    check_installed(["trainer"])
    words = [
        word
        for flag, *_ in _OPTIONS
        for given in [getattr(arguments, flag.removeprefix("--"))]
        if given
        for word in (flag, *given)
    ]
    return subprocess.run(module_command("lab.study", *words), env=with_checkout()).returncode


def with_checkout() -> dict[str, str]:
    """This environment, with the laboratory beside the product importable."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
