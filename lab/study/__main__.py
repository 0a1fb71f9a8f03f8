"""``python -m lab.study --study main --seeds 5``: run a study and write its results."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lab.study.execution import carry_out, cores
from lab.study.publication import publish
from lab.study.studies import MAIN, STUDIES
from lab.study.variants import COMBINED, VARIANTS
from vapo.option_types import above, path, whole

RUNS = "raw"
"""Folder of the finished runs of all studies."""
INTERRUPTED = 130
UNFINISHED = 3


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing of a study, then write tables and curves of what there is."""
    options = _parser().parse_args(arguments)
    study = STUDIES[options.study].narrowed(options.regimes, options.variants)
    # The main study's summary lies in the folder itself, the others' beside it.
    folder = options.out if options.study == MAIN else options.out / options.study
    runs = options.out / RUNS
    torch.set_num_threads(1)
    try:
        complete = carry_out(
            study.configurations(options.seeds),
            runs,
            options.bases,
            options.processes,
            _print,
            _deadline(options.minutes),
        )
    except KeyboardInterrupt:
        _print("stopped; the same command goes on from here")
        return INTERRUPTED
    for file in publish(STUDIES[options.study], options.seeds, runs, folder):
        _print(f"written: {file}")
    return 0 if complete else UNFINISHED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vapo ablate",
        description=_DESCRIPTION,
        epilog="studies:\n" + "\n".join(f"  {name:<12} {study.summary}" for name, study in STUDIES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--study", choices=STUDIES, default=MAIN, help="which (default: main)")
    parser.add_argument("--seeds", type=whole(1), default=5, help="seeds 0 to N - 1 (default: 5)")
    parser.add_argument(
        "--out", type=path, default=Path("runs/ablation"), help="folder of the results (default: runs/ablation)"
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=(*VARIANTS, *COMBINED),
        metavar="VARIANT",
        help=f"only these of {', '.join((*VARIANTS, *COMBINED))}",
    )
    parser.add_argument("--regimes", nargs="+", metavar="REGIME", help="only these of the study's")
    parser.add_argument(
        "--processes",
        type=whole(1),
        default=cores(),
        help="runs at a time, one thread each (default: the cores, %(default)s)",
    )
    parser.add_argument(
        "--minutes", type=above(0), help="start no further run after this time; exit status 3 if some are left"
    )
    parser.add_argument(
        "--bases",
        type=path,
        default=Path("runs/study-bases"),
        help="folder where base models are kept (default: runs/study-bases)",
    )
    return parser


_DESCRIPTION = """\
Compare VAPO with its leave-one-out variants and with PPO, GRPO and DAPO at equal budgets of
rollouts, over several paired seeds, on a small task on the CPU. The algorithm is the trainer's own;
rollouts come from a sampler in the same process, without vLLM, Redis and HTTP.

An interrupted study goes on where it was: each finished run is a JSON file under --out."""


def _deadline(minutes: float | None) -> Callable[[], bool]:
    end = None if minutes is None else time.monotonic() + 60 * minutes
    return lambda: end is not None and time.monotonic() > end


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
