"""Agreement of the verifier with labelled cases, next to plain math-verify.

    python -m lab.benchmarks.verifier_accuracy CASES.jsonl [--kinds equivalence ...] [--show]

Each line of the file holds ``gold``, ``prediction``, ``expected`` (whether they agree), ``kind``
and ``form``: ``answer`` (a bare answer) or ``response`` (a whole response). A verdict other than
correct counts as "do not agree". math-verify's own verdict is taken from the field
``math_verify_0_9_0`` where the file has it, else it is run here. Precision is the share of accepted
answers that are right (what it lacks to 100 % are rewards for wrong answers), recall the share of
right answers that are accepted.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import math_verify

from services.verifier.judge_file import ANY_ANSWER, WHOLE_RESPONSE
from services.verifier.judgement import MathVerifier
from services.verifier.judgement.verdicts import Judgement, Outcome
from services.verifier.pool import Pool
from services.verifier.registry import MAKER
from vapo.settings import VerifierSettings

_TITLES = ("agreement", "precision", "recall", "math-verify")
_FIELDS = ("gold", "prediction")
RULES = {"answer": ANY_ANSWER, "response": WHOLE_RESPONSE}


@dataclass
class Score:
    """Counts of one kind of cases."""

    cases: int = 0
    agreed: int = 0
    math_verify_agreed: int = 0
    right: int = 0
    accepted: int = 0
    rightly_accepted: int = 0

    def add(self, right: bool, accepted: bool, math_verify_accepted: bool) -> None:
        """Count one case: whether its answer is right, and who accepts it."""
        self.cases += 1
        self.agreed += right == accepted
        self.math_verify_agreed += right == math_verify_accepted
        self.right += right
        self.accepted += accepted
        self.rightly_accepted += right and accepted

    def line(self) -> str:
        """Agreement, precision, recall and math-verify's agreement; nan where there is none."""
        shares = (
            (self.agreed, self.cases),
            (self.rightly_accepted, self.accepted),
            (self.rightly_accepted, self.right),
            (self.math_verify_agreed, self.cases),
        )
        return "".join(f"{part / of if of else math.nan:>12.1%}" for part, of in shares)


def main(arguments: list[str]) -> None:
    """Print agreement by kind, and with ``--show`` every disagreement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--kinds", nargs="*", help="only these kinds")
    parser.add_argument("--show", action="store_true", help="print every disagreement")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    wanted = options.kinds
    cases = [case for case in read(options.cases) if not wanted or case["kind"] in wanted]
    scores: defaultdict[str, Score] = defaultdict(Score)
    seconds = 0.0
    with Pool(VerifierSettings(workers=1), MAKER) as pool:
        for case in cases:
            started = time.perf_counter()
            judgement = judge(pool, case)
            seconds += time.perf_counter() - started
            correct = judgement.outcome is Outcome.CORRECT
            for name in case["kind"], "all":
                scores[name].add(bool(case["expected"]), correct, plain_math_verify(case))
            if options.show and correct != bool(case["expected"]):
                print(
                    json.dumps(
                        {
                            "expected": case["expected"],
                            "gold": case["gold"][:200],
                            "prediction": case["prediction"][-200:],
                            **judgement.as_dict(),
                        }
                    )
                )
    report(scores, len(cases) / seconds)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The cases of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def judge(pool: Pool, case: dict[str, Any]) -> Judgement:
    """The verifier's judgement, as the service reaches it."""
    rules = RULES[case.get("form", "answer")]
    cheap = MathVerifier(rules).judge_cheaply(case["prediction"], case["gold"])
    return cheap or pool.judge("math", rules, case["prediction"], case["gold"])


def plain_math_verify(case: dict[str, Any]) -> bool:
    """math-verify's verdict with its default settings."""
    if "math_verify_0_9_0" in case:
        return bool(case["math_verify_0_9_0"])
    gold, prediction = (math_verify.parse(_in_dollars(case[name])) for name in _FIELDS)
    return bool(math_verify.verify(gold, prediction))


def _in_dollars(text: str) -> str:
    """math-verify reads LaTeX only between delimiters: bare formulas are given them."""
    bare = "\\" in text and not any(sign in text for sign in ("$", r"\boxed", r"\[", r"\("))
    return f"${text}$" if bare else text


def report(scores: Mapping[str, Score], verdicts_per_second: float) -> None:
    """One row per kind and one for all."""
    titles = "".join(f"{title:>12}" for title in _TITLES)
    print(f"{'kind':<26}{'cases':>7}{titles}")
    for kind in sorted(scores, key=lambda kind: (kind == "all", kind)):
        print(f"{kind:<26}{scores[kind].cases:>7}{scores[kind].line()}")
    print(f"{verdicts_per_second:.0f} verdicts/s")


if __name__ == "__main__":
    main(sys.argv[1:])
