"""``python -m lab.study --study main --seeds 5``: run a study and write its results."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lab.study.command import finish, say, study_parser
from lab.study.publication import publish
from lab.study.studies import MAIN, STUDIES
from lab.study.variants import COMBINED, VARIANTS
from vapo.cli.dispatch import Parser, exit_status

PROGRAM = "vapo ablate"


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return exit_status(PROGRAM, lambda: run(words))


def run(words: Sequence[str] | None) -> int:
    """Run what is missing of a study, then write tables and curves of what there is."""
    command = parser()
    options = command.parse_args(words)
    study = STUDIES[options.study]
    try:
        part = study.narrowed(options.regimes, options.variants)
    except ValueError as error:
        command.error(str(error))
    # The main study's summary lies in the folder itself, the others' beside it.
    folder = options.out if options.study == MAIN else options.out / options.study
    runs, status = finish(part.configurations(options.seeds), options)
    for file in publish(study, options.seeds, runs, folder):
        say(f"written: {file}")
    return status


def parser() -> Parser:
    """Options and help of the command."""
    command = study_parser(PROGRAM, _DESCRIPTION, out="runs/ablation", seeds=5)
    command.epilog = "studies:\n" + "\n".join(f"  {name:<12} {study.summary}" for name, study in STUDIES.items())
    names = (*VARIANTS, *COMBINED)
    command.add_argument("--study", choices=STUDIES, default=MAIN, help="which (default: main)")
    command.add_argument(
        "--variants", nargs="+", choices=names, metavar="VARIANT", help=f"only these of {', '.join(names)}"
    )
    command.add_argument("--regimes", nargs="+", metavar="REGIME", help="only these of the study's")
    return command


_DESCRIPTION = """\
Compare VAPO with its leave-one-out variants and with PPO, GRPO and DAPO at equal budgets of
rollouts, over several paired seeds, on a small task on the CPU. The algorithm is the trainer's own;
rollouts come from a sampler in the same process, without vLLM, Redis and HTTP.

An interrupted study goes on where it was: each finished run is a JSON file under --out. Results are
tables, results.json and learning curves (SVG)."""


if __name__ == "__main__":
    sys.exit(main())
