"""Agreement of the verifier with labelled cases, next to plain math-verify.

    python -m benchmarks.verifier_accuracy CASES.jsonl [--kinds equivalence ...] [--show]

Each line of the file holds ``gold``, ``prediction``, ``expected`` (whether they agree), ``kind``
and ``form``: ``answer`` (a bare answer) or ``response`` (a whole response). A verdict other than
correct counts as "do not agree". math-verify's own verdict is taken from the field
``math_verify_0_9_0`` where the file has it, else it is run here.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import math_verify

from services.verifier.judge_file import ANY_ANSWER, WHOLE_RESPONSE
from services.verifier.pool import Pool, PoolLimits
from services.verifier.registry import MathVerifier
from services.verifier.verdicts import Judgement, Outcome

RULES = {"answer": ANY_ANSWER, "response": WHOLE_RESPONSE}


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
    totals, ours, theirs = Counter[str](), Counter[str](), Counter[str]()
    seconds = 0.0
    with Pool(PoolLimits()) as pool:
        for case in cases:
            started = time.perf_counter()
            judgement = judge(pool, case)
            seconds += time.perf_counter() - started
            agrees = (judgement.outcome is Outcome.CORRECT) == bool(case["expected"])
            totals[case["kind"]] += 1
            ours[case["kind"]] += agrees
            theirs[case["kind"]] += plain_math_verify(case) == bool(case["expected"])
            if options.show and not agrees:
                print(json.dumps({"expected": case["expected"], "gold": case["gold"][:200],
                                  "prediction": case["prediction"][-200:], **judgement.as_dict()}))
    report(totals, ours, theirs, seconds)


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
    gold, prediction = math_verify.parse(case["gold"]), math_verify.parse(case["prediction"])
    return bool(math_verify.verify(gold, prediction))


def report(
    totals: Counter[str], ours: Counter[str], theirs: Counter[str], seconds: float
) -> None:
    """One row per kind and one for all."""
    print(f"{'kind':<22}{'cases':>7}{'verifier':>10}{'math-verify':>13}")
    for kind in [*sorted(totals), "all"]:
        count = totals[kind] if kind != "all" else totals.total()
        own = ours[kind] if kind != "all" else ours.total()
        other = theirs[kind] if kind != "all" else theirs.total()
        print(f"{kind:<22}{count:>7}{own / count:>10.1%}{other / count:>13.1%}")
    print(f"{totals.total() / seconds:.0f} verdicts/s")


if __name__ == "__main__":
    main(sys.argv[1:])
