"""What the commands of all studies share: options, carrying the runs out, exit statuses.

Invariant: exit status 0 when every run asked for is finished, 3 when some are left, else as every
`vapo` command has it (``vapo.cli.dispatch``).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from lab.study.execution import Job, carry_out, cores
from lab.study.store import Runs
from vapo.cli.dispatch import Parser
from vapo.option_types import at_least, path, whole

UNFINISHED = 3


def study_parser(prog: str, description: str, out: str, seeds: int) -> Parser:
    """A parser with the options that every study has.

    Args:
        prog: the command as people type it.
        description: text above the options, printed as it is.
        out: default folder of the results.
        seeds: default number of seeds.
    """
    parser = Parser(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=whole(1), default=seeds, help="seeds 0 to N - 1 (default: %(default)s)")
    parser.add_argument("--out", type=path, default=Path(out), help="folder of the results (default: %(default)s)")
    parser.add_argument(
        "--processes",
        type=whole(1),
        default=cores(),
        help="runs at a time, one thread each (default: the cores, %(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=at_least(0),
        help="start no further run after this time; exit status 3 if some are left; 0: write what there is",
    )
    parser.add_argument(
        "--bases",
        type=path,
        default=Path("runs/study-bases"),
        help="folder where base models are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--pack", action="store_true", help="gather the finished runs under --out into one file, runs.jsonl.xz"
    )
    return parser


def finish(jobs: Sequence[Job], options: argparse.Namespace) -> tuple[Runs, int]:
    """Carry out what is missing of ``jobs`` as the options of :func:`study_parser` say.

    Returns:
        All finished runs under ``--out``, and the exit status.
    """
    torch.set_num_threads(1)
    end = float("inf") if options.minutes is None else time.monotonic() + 60 * options.minutes
    runs = Runs(options.out)
    try:
        complete = carry_out(jobs, runs, options.bases, options.processes, say, lambda: time.monotonic() >= end)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        raise
    if options.pack:
        say(f"packed: {runs.pack()}")
    return runs, 0 if complete else UNFINISHED


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)
