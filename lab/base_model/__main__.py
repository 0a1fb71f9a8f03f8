"""``python -m lab.base_model --out FOLDER --seed 0``: make the demo's base checkpoint."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace

import torch

from lab.base_model.checkpoint import make_checkpoint
from lab.base_model.recipe import Recipe
from lab.base_model.training import Progress
from vapo.option_types import at_least, path, whole


def main(arguments: list[str] | None = None) -> None:
    """Train from scratch, measure, and write a Hugging Face folder with its recipe."""
    options = vars(_parser().parse_args(arguments))
    out, held_out_problems = options.pop("out"), options.pop("held_out_problems")
    torch.set_num_threads(options.pop("threads"))
    recipe = replace(Recipe(), **options)
    report = make_checkpoint(recipe, out, held_out_problems, _print_progress)
    print(report)
    print(f"written to {out}")


def _parser() -> argparse.ArgumentParser:
    recipe = Recipe()
    parser = argparse.ArgumentParser(
        prog="python -m lab.base_model", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--out", type=path, required=True, help="folder to write")
    for field in fields(Recipe):
        default = getattr(recipe, field.name)
        if isinstance(default, int | float):
            flag = "--" + field.name.replace("_", "-")
            kind = whole(int(field.name != "seed")) if isinstance(default, int) else at_least(0)
            parser.add_argument(flag, type=kind, default=default, help=" ")
    parser.add_argument("--terms", type=whole(2), nargs="+", default=recipe.terms, help="grades of the problems")
    parser.add_argument("--held-out-problems", type=whole(0), default=200, help="for the measurement")
    parser.add_argument("--threads", type=whole(1), default=1, help="more than one may not be reproducible")
    return parser


def _print_progress(progress: Progress) -> None:
    if progress.step % 50 == 0:
        print(
            f"step {progress.step}  loss {progress.loss:.4f}"
            f"  careful share {progress.careful_share:.2f}  {progress.seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
