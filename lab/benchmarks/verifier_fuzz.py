"""A long fuzz of the verifier, for as many minutes as asked.

    python -m lab.benchmarks.verifier_fuzz --minutes 5 [--seed 1]        (or: make fuzz)

In turns, each with new random examples (hypothesis):

* the same answer in other writing is correct, an answer with another number is not, layout changes
  no verdict (``tests/support/verifier_properties.py``);
* any text gets a verdict in bounded time, and is never correct against a reference it cannot mean;
* hostile answers and random formulas go through real worker processes: each is answered within the
  time limit, none is correct, and the next ordinary judgement is right.

Every distinct failure is printed with the seed that repeats it. The exit status is 1 if there is
any.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from services.verifier.judge_file import ANY_ANSWER
from services.verifier.judgement.math_answer import judge_cheaply
from services.verifier.judgement.verdicts import Outcome
from services.verifier.pool import Pool
from services.verifier.registry import MAKER
from tests.support import verifier_properties as properties
from tests.support.formula_pieces import FORMULAS
from tests.support.hostile_answers import hostile_answers
from tests.support.verifier_answers import different, meanings
from vapo.settings import VerifierSettings

EXAMPLES = 300
CPU_SECONDS = 1.0
"""For one cheap judgement of any text, on a slow machine."""
TIME_LIMIT_SECONDS = 2.0
GRACE_SECONDS = 5.0
"""To start another worker process on a busy machine."""
POOL_EXAMPLES = 15
UNLIKE = (r"\sqrt{7919}", "-7919", "q^2+7919", r"\{7919, 7907\}")
"""References that no text without their number can mean."""
TEXTS = st.one_of(FORMULAS, st.text(max_size=120)).filter(lambda text: "7919" not in text)
"""Hypothesis also draws literals it finds in the code, so it may well write a reference itself."""
CHOICE = st.integers(0, 6)

Check = Callable[[], None]


def main(arguments: list[str] | None = None) -> int:
    """Fuzz until the minutes are over. Returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first round; default: time")
    options = parser.parse_args(arguments)
    number = int(time.time()) if options.seed is None else options.seed
    deadline = time.monotonic() + 60 * options.minutes
    failures: dict[str, str] = {}
    rounds: Counter[str] = Counter()
    with Pool(VerifierSettings(workers=1, time_limit_seconds=TIME_LIMIT_SECONDS), MAKER) as pool:
        while time.monotonic() < deadline:
            for name, check in _checks(number, pool):
                rounds[name] += 1
                _run(name, number, check, failures)
                if time.monotonic() > deadline:
                    break
            number += 1
    print(", ".join(f"{count} rounds of {name}" for name, count in rounds.items()))
    print(f"{len(failures)} distinct failures")
    return int(bool(failures))


def _run(name: str, number: int, check: Check, failures: dict[str, str]) -> None:
    try:
        check()
    except AssertionError as error:
        text = f"{name}: {str(error)[:600]}"
        if failures.setdefault(text, str(number)) == str(number):
            print(f"seed {number}: {text}", flush=True)


def _checks(number: int, pool: Pool) -> list[tuple[str, Check]]:
    thorough = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    same = given(meanings(), CHOICE, CHOICE)(properties.same_answer_is_correct)
    other = given(different(), CHOICE, CHOICE)(properties.different_answers_are_wrong)
    layout = given(different(), CHOICE, CHOICE)(properties.layout_changes_nothing)
    text = given(TEXTS)(any_text_is_judged)
    return [
        ("the same answer", seed(number)(thorough(same))),
        ("another answer", seed(number)(thorough(other))),
        ("layout", seed(number)(thorough(layout))),
        ("any text", seed(number)(thorough(text))),
        ("worker processes", lambda: workers_survive(pool, number)),
    ]


def any_text_is_judged(text: str) -> None:
    """In bounded time, boxed or not, and never as correct by accident."""
    for reference in UNLIKE:
        for response in (rf"\boxed{{{text}}}", text):
            started = time.process_time()
            judgement = judge_cheaply(response, reference, ANY_ANSWER)
            assert time.process_time() - started < CPU_SECONDS, (reference, response)
            wrongly = judgement is not None and judgement.outcome is Outcome.CORRECT
            assert not wrongly, (reference, response, judgement)


def workers_survive(pool: Pool, number: int) -> None:
    """Hostile and random answers in worker processes, an ordinary one after each."""
    generator = random.Random(number)
    hostile = [response for _, response in hostile_answers()]
    answers = generator.sample(hostile, k=min(POOL_EXAMPLES, len(hostile)))
    answers += [_random_formula(generator) for _ in range(POOL_EXAMPLES)]
    for answer in answers:
        reference = generator.choice(UNLIKE)
        started = time.monotonic()
        judgement = pool.judge("math", ("boxed",), answer, reference)
        elapsed = time.monotonic() - started
        assert elapsed < TIME_LIMIT_SECONDS + GRACE_SECONDS, (reference, answer[:300], elapsed)
        assert judgement.outcome is not Outcome.CORRECT, (reference, answer[:300], judgement)
        ordinary = pool.judge("math", ("boxed",), r"\boxed{1+x}", "x+1")
        assert ordinary.outcome is Outcome.CORRECT, (reference, answer[:300], ordinary)


def _random_formula(generator: random.Random) -> str:
    pieces = generator.choices(_PIECES, k=generator.randint(1, 14))
    return rf"\boxed{{{' '.join(pieces)}}}"


_PIECES = (
    "x",
    "y",
    "n",
    "2",
    "3",
    "17",
    "0.5",
    "+",
    "-",
    "*",
    "/",
    "^{2}",
    "^{n}",
    "^{99}",
    "!",
    "(x)",
    r"\sqrt{x}",
    r"\frac{1}{x}",
    r"\frac{x}{y}",
    r"\sin x",
    r"\ln y",
    r"\int x dx",
    "=",
    "<",
    r"\sum_{k=1}^{99} k^x",
    r"\binom{n}{2}",
    r"\lim_{x \to 0}",
    r"\int_0^1 \sin(x^2) dx",
    "|x|",
    r"\prod_{k=1}^{9} k",
    r"\begin{pmatrix}1&x\\y&2\end{pmatrix}",
    r"\infty",
    "e^x",
    "i",
    ",",
)


if __name__ == "__main__":
    sys.exit(main())
