"""``python -m lab.base_model --out FOLDER --seed 0``: make the demo's base checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace

import torch

from lab.base_model.checkpoint import make_checkpoint
from lab.base_model.recipe import Recipe
from lab.base_model.training import Progress
from vapo.cli.dispatch import Parser, exit_status
from vapo.cli.errors import CommandError
from vapo.option_types import at_least, path, whole
from vapo.startup import check_writable

PROGRAM = "vapo base-model"


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return exit_status(PROGRAM, lambda: run(sys.argv[1:] if words is None else words))


def run(words: Sequence[str]) -> int:
    """Train from scratch, measure, and write a Hugging Face folder with its recipe; it takes some
    minutes on one core.

    Raises:
        CommandError: the folder is there already.
    """
    # "--" before the recipe's own options was needed once, and is still in people's notes.
    options = vars(parser().parse_args([word for word in words if word != "--"]))
    out, held_out_problems = options.pop("out"), options.pop("held_out_problems")
    if out.exists():
        raise CommandError(f"{out} exists; name a new folder for the checkpoint")
    check_writable("--out", out.absolute().parent)
    torch.set_num_threads(options.pop("threads"))
    print(make_checkpoint(replace(Recipe(), **options), out, held_out_problems, _print_progress))
    print(f"written to {out}")
    return 0


def parser() -> Parser:
    """Options and help of the command."""
    recipe = Recipe()
    command = Parser(prog=PROGRAM, description=_DESCRIPTION, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    command.add_argument(
        "--out",
        type=path,
        required=True,
        default=argparse.SUPPRESS,
        metavar="FOLDER",
        help="new folder for the checkpoint",
    )
    for field in fields(Recipe):
        default = getattr(recipe, field.name)
        if isinstance(default, int | float):
            flag = "--" + field.name.replace("_", "-")
            kind = whole(int(field.name != "seed")) if isinstance(default, int) else at_least(0)
            command.add_argument(flag, type=kind, default=default, help=" ")
    command.add_argument("--terms", type=whole(2), nargs="+", default=recipe.terms, help="grades of the problems")
    command.add_argument("--held-out-problems", type=whole(0), default=200, help="for the measurement")
    command.add_argument("--threads", type=whole(1), default=1, help="more than one may not be reproducible")
    return command


_DESCRIPTION = "Train the demo's base checkpoint from scratch; the options, its recipe, decide every weight."


def _print_progress(progress: Progress) -> None:
    if progress.step % 50 == 0:
        print(
            f"step {progress.step}  loss {progress.loss:.4f}"
            f"  careful share {progress.careful_share:.2f}  {progress.seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
