"""``python -m services.verifier.judge_file ROWS.jsonl --output JUDGED.jsonl``: judge a file.

Every row is a JSON object with ``gold`` and ``prediction``; the same rows come out in order with
``verdict``, ``extracted`` and ``reason``.

Invariant: every row gets a verdict; a malformed row ends the run with its line number before
anything is judged.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from services.verifier import registry
from services.verifier.judgement.verdicts import Judgement
from services.verifier.pool import Pool
from services.verifier.service import BOX_REQUIRED
from vapo.option_types import above, path, whole
from vapo.settings import VerifierSettings

ANY_ANSWER = ("boxed", "hashes", "answer_phrase", "stated")
"""The prediction may be a bare answer, a sentence or a whole response."""
WHOLE_RESPONSE = ("boxed", "hashes", "answer_phrase", "last_value")
RULES = {"any": ANY_ANSWER, "boxed": BOX_REQUIRED, "response": WHOLE_RESPONSE}
_FORMS = {"response": WHOLE_RESPONSE, "answer": ANY_ANSWER}
BATCH_ROWS = 256


class BadRow(ValueError):
    """A row of the file cannot be judged; the text names the line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the file named on the command line. Returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        rows = list(read_rows(options.rows))
        registry.create(options.verifier, {"rules": BOX_REQUIRED})
    except (BadRow, OSError, registry.UnknownVerifier) as error:
        print(error, file=sys.stderr)
        return 1
    try:
        counts = _judge_all(rows, options)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"the verdicts cannot be written: {error}", file=sys.stderr)
        return 1
    summary = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    print(summary or f"{options.rows} has no rows", file=sys.stderr)
    return 0


def _judge_all(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> Counter[str]:
    """Write every row with its verdict. Returns how often each verdict was given."""
    counts: Counter[str] = Counter()
    settings = VerifierSettings(workers=options.workers, time_limit_seconds=options.time_limit)
    output = nullcontext(sys.stdout) if options.output is None else options.output.open("w")
    with output as file, Pool(settings, registry.MAKER) as pool:
        for row in judged(pool, rows, options.verifier, RULES[options.rules], options.workers):
            counts[str(row["verdict"])] += 1
            file.write(json.dumps(row) + "\n")
        file.flush()
    return counts


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file. Raises BadRow with the line number."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _row(line, f"{path}:{number}")


def judged(
    pool: Pool, rows: Sequence[dict[str, Any]], verifier: str, rules: tuple[str, ...], threads: int
) -> Iterator[dict[str, Any]]:
    """The rows with ``verdict``, ``extracted`` and ``reason``, in order."""

    def judge(row: dict[str, Any]) -> dict[str, Any]:
        judgement = _judge(pool, row, verifier, _rules_of(row, rules))
        return {**row, "verdict": str(judgement.outcome), "extracted": judgement.extracted, "reason": judgement.reason}

    with ThreadPoolExecutor(threads) as executor:
        for start in range(0, len(rows), BATCH_ROWS):
            yield from executor.map(judge, rows[start : start + BATCH_ROWS])


def _judge(pool: Pool, row: dict[str, Any], verifier: str, rules: tuple[str, ...]) -> Judgement:
    judge = registry.create(verifier, {"rules": rules})
    cheap = judge.judge_cheaply(row["prediction"], row["gold"])
    return cheap or pool.judge(verifier, rules, row["prediction"], row["gold"])


def _rules_of(row: dict[str, Any], rules: tuple[str, ...]) -> tuple[str, ...]:
    """A row may say in ``form`` what its prediction is; a required box stays required."""
    form = row.get("form")
    return _FORMS.get(str(form), rules) if rules is ANY_ANSWER else rules


def _row(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadRow(f"{place}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise BadRow(f"{place}: a JSON object was expected")
    for name in "gold", "prediction":
        value = row.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise BadRow(f"{place}: the field {name!r} must be a string or a number")
    return {**row, "gold": str(row["gold"]), "prediction": str(row["prediction"])}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("judge_file", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", type=path, help="JSONL with the fields gold and prediction")
    parser.add_argument("--output", type=path, help="JSONL to write (default: standard output)")
    parser.add_argument("--verifier", default="math", help="name of the verifier")
    parser.add_argument("--rules", choices=sorted(RULES), default="any", help=_RULES_HELP)
    parser.add_argument("--workers", type=whole(1), default=1, help="worker processes")
    parser.add_argument("--time-limit", type=above(0), default=2.0, help="seconds for one row")
    return parser


_RULES_HELP = (
    "where an answer may stand: boxed (only in a box, as in training), response (a box, or the end "
    "of a whole response), any (also a bare answer; the default)"
)


if __name__ == "__main__":
    sys.exit(main())
