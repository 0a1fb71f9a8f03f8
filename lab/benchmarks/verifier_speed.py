r"""Speed of the verifier next to plain math-verify, in one run on one core.

    python -m lab.benchmarks.verifier_speed [--gsm8k TEST.jsonl] [--math TEST.jsonl] [--rows 400]

Three figures:

* the common case: a boxed number against a reference seen before, in verdicts a second;
* the answer mix of GSM8K and MATH (half of each, as right answers, as the same answers written
  otherwise, and as answers of other problems), in verdicts a second, and the same rows by
  ``math_verify.parse`` and ``math_verify.verify``;
* the same mix with 1 % hostile answers (``tests/support/hostile_answers.py``):
  median, 99th percentile and slowest verdict.

Rates are per second of CPU time (of this process and the worker process together), so that other
load does not change them; latencies are wall-clock time. Without the two files a small mix that is
part of this module is used.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import math_verify
import psutil

from services.verifier.judgement import MathVerifier
from services.verifier.pool import Pool
from services.verifier.registry import MAKER
from tests.support.hostile_answers import hostile_answers
from vapo.settings import VerifierSettings

RULES = ("boxed",)
SMALL_MIX = (
    "18",
    "3",
    "70000",
    "540",
    "20",
    "64",
    "1/2",
    r"\frac{3}{56}",
    "3.75",
    r"2\sqrt{3}",
    "(3, -1)",
    r"\left(3, \frac{\pi}{2}\right)",
    "p - q",
    r"\frac{14}{3}",
    r"90^\circ",
    r"[2,5)",
    "x^2 - 4x + 1",
    r"\begin{pmatrix} -2 \\ 1 \end{pmatrix}",
    r"\text{Evelyn}",
    "6 - 5i",
    r"3\sqrt{13}",
    "1,-2",
)
Row = tuple[str, str]
"""(response, reference)"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the three figures."""
    options = _parser().parse_args(arguments)
    logging.disable(logging.CRITICAL)
    generator = random.Random(7)
    references = _references(options, generator)
    rows = list(mix(references, generator))
    with Pool(VerifierSettings(workers=1), MAKER) as pool:
        judge = _judge(pool)
        pool.judge("math", RULES, r"\boxed{x+y}", "y+x-z")  # until the worker is ready
        common_case(judge, options.repeats)
        ours = per_second("the mix, verifier", judge, rows)
        theirs = per_second("the mix, plain math-verify", plain_math_verify, rows)
        print(f"{'ratio':<34}{ours / theirs:>12.1f}")
        latencies(judge, rows, generator)


def common_case(judge: Callable[[str, str], object], repeats: int) -> None:
    """Boxed numbers against references seen before."""
    rows = [(rf"So the answer is \boxed{{{k % 50}}}.", str(k % 47)) for k in range(repeats)]
    for response, reference in rows[:100]:
        judge(response, reference)
    per_second("common case, verifier", judge, rows)
    per_second("common case, plain math-verify", plain_math_verify, rows[: repeats // 20])


def mix(references: Sequence[str], generator: random.Random) -> Iterable[Row]:
    """For each reference: itself, the same in another way of writing, another one."""
    for reference in references:
        for answer in (reference, rewritten(reference), generator.choice(references)):
            yield rf"Working ... so the answer is \boxed{{{answer}}}.", reference


def rewritten(answer: str) -> str:
    """The same answer as another hand would write it."""
    if answer.isdigit():
        return rf"{int(answer):,}.00" if len(answer) < 4 else rf"\${int(answer):,}"
    return answer.replace(r"\frac", r"\dfrac").replace("(", r"\left(").replace(")", r"\right)")


def latencies(judge: Callable[[str, str], object], rows: Sequence[Row], generator: random.Random) -> None:
    """Time of each verdict with 1 % hostile answers at random places."""
    hostile = [answer for _, answer in hostile_answers()]
    count = max(1, len(rows) // 99)
    mixed = [*rows, *((generator.choice(hostile), rows[k][1]) for k in range(count))]
    generator.shuffle(mixed)
    seconds = []
    for response, reference in mixed:
        started = time.perf_counter()
        judge(response, reference)
        seconds.append(time.perf_counter() - started)
    percentile = statistics.quantiles(seconds, n=100)[98]
    print(
        f"{len(mixed)} verdicts, {count} of them on hostile answers: "
        f"median {statistics.median(seconds) * 1e3:.2f} ms, p99 {percentile * 1e3:.1f} ms, "
        f"slowest {max(seconds) * 1e3:.0f} ms"
    )


def per_second(name: str, judge: Callable[[str, str], object], rows: Sequence[Row]) -> float:
    """Verdicts a second of CPU time over ``rows``, printed with ``name``."""
    started = cpu_seconds()
    for response, reference in rows:
        judge(response, reference)
    rate = len(rows) / (cpu_seconds() - started)
    print(f"{name:<34}{rate:>12,.0f} verdicts per CPU second")
    return rate


def cpu_seconds() -> float:
    """CPU time of this process and of its worker processes so far."""
    total = time.process_time()
    for child in psutil.Process().children():
        used = child.cpu_times()
        total += used.user + used.system
    return total


def plain_math_verify(response: str, reference: str) -> bool:
    """math-verify as its users call it, without its signal-based time limits."""
    texts = f"${reference}$", response
    parsed = [math_verify.parse(text, parsing_timeout=None) for text in texts]
    return bool(math_verify.verify(*parsed, timeout_seconds=None))


def _judge(pool: Pool) -> Callable[[str, str], object]:
    verifier = MathVerifier(RULES)

    def judge(response: str, reference: str) -> object:
        cheap = verifier.judge_cheaply(response, reference)
        return cheap or pool.judge("math", RULES, response, reference)

    return judge


def _references(options: argparse.Namespace, generator: random.Random) -> list[str]:
    if not (options.gsm8k and options.math):
        return list(SMALL_MIX)
    gsm8k = [row["answer"].rpartition("#### ")[2] for row in _rows(options.gsm8k)]
    mathematics = [row["answer"] for row in _rows(options.math)]
    half = options.rows // 2
    return generator.sample(gsm8k, half) + generator.sample(mathematics, half)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gsm8k", type=Path, help="JSONL with answer, after ####")
    parser.add_argument("--math", type=Path, help="JSONL with answer")
    parser.add_argument("--rows", type=int, default=400, help="references taken from the two files")
    parser.add_argument("--repeats", type=int, default=10_000, help="rows of the common case")
    return parser


if __name__ == "__main__":
    main()
