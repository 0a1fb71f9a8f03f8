"""``python -m vapo.demo.chain --split train --count 5000 --out train.jsonl``: write a problem set."""

from __future__ import annotations

import argparse

from vapo.demo.chain.problem_sets import DEMO_TERMS, problem_set, write_jsonl
from vapo.demo.chain.splits import Split
from vapo.option_types import path, whole


def main(arguments: list[str] | None = None) -> None:
    """Write one problem set as JSONL."""
    options = _parser().parse_args(arguments)
    problems = problem_set(options.split, options.count, options.seed, options.terms)
    write_jsonl(problems, options.out)
    print(f"{len(problems)} {options.split} problems written to {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vapo.demo.chain", description=__doc__)
    parser.add_argument("--split", type=Split, choices=list(Split), required=True)
    parser.add_argument("--count", type=whole(1), required=True, help="number of distinct problems")
    parser.add_argument("--out", type=path, required=True, help="JSONL file to write")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--terms", type=whole(2), nargs="+", default=DEMO_TERMS, help="grades, by number of terms")
    return parser


if __name__ == "__main__":
    main()
