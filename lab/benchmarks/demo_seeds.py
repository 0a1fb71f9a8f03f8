"""The demo with several seeds: the table in docs/results.md.

    python -m lab.benchmarks.demo_seeds [--seeds 0 1 2] [--runs FOLDER]

Each run takes about six minutes on two cores. Prints one Markdown row a seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HEADER = (
    "| seed | accuracy before | after | length before | after | start-up | value pretraining "
    "| RL | all | steps | tokens/s |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Run the demo once for each seed."""
    options = _options()
    print(HEADER, flush=True)
    for seed in options.seeds:
        print(row(demo(seed, options.runs / f"seed-{seed}")), flush=True)


def demo(seed: int, directory: Path) -> dict[str, Any]:
    """Outcome of one run: the JSON object that ends its output."""
    command = [sys.executable, "-m", "vapo.cli", "demo", "--fresh", "--seed", str(seed), "--run-dir", str(directory)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(found: dict[str, Any]) -> str:
    """One line of the table."""
    cells = (
        found["seed"],
        f"{found['accuracy_before']:.3f} ± {found['standard_error_before']:.3f}",
        f"{found['accuracy_after']:.3f} ± {found['standard_error_after']:.3f}",
        f"{found['length_before']:.0f}",
        f"{found['length_after']:.0f}",
        f"{found['startup_seconds']:.0f} s",
        f"{found['value_pretraining_seconds']:.0f} s",
        f"{found['rl_seconds']:.0f} s",
        f"{found['seconds']:.0f} s",
        found["steps"],
        f"{found['tokens_per_second']:.0f}",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="lab.benchmarks.demo_seeds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/demo-seeds"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
