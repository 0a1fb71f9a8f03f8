"""Where the verifier and the labels of other projects' test authors differ, and who is right.

    python -m lab.benchmarks.verifier_disagreements                 # the table of docs/verifier.md
    python -m lab.benchmarks.verifier_disagreements CASES.jsonl ... # what is not in it, or no longer so

The disagreements are kept in ``tests/data/verifier_disagreements.jsonl`` with their source, licence
and ``who_is_right``; a test judges each of them again and compares the table with the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lab.benchmarks.verifier_accuracy import judge, read
from services.verifier.pool import Pool
from services.verifier.registry import MAKER
from vapo.settings import VerifierSettings

KNOWN = Path(__file__).parents[2] / "tests" / "data" / "verifier_disagreements.jsonl"
SHOWN_CHARACTERS = 60
_HEAD = "| reference | answer | label | verdict | who is right |\n|---|---|---|---|---|"


def main(files: Sequence[str]) -> int:
    """Print the table, or how far ``files`` and the known disagreements differ."""
    known = list(read(KNOWN))
    if not files:
        print(table(known))
        return 0
    expected = {_key(case): case for case in known}
    found = {_key(case): case for case in disagreements(Path(file) for file in files)}
    for text, cases, other in (("new", found, expected), ("no longer", expected, found)):
        for key in cases.keys() - other.keys():
            print(f"{text}: {json.dumps(cases[key])[:400]}")
    return int(found.keys() != expected.keys())


def disagreements(files: Iterable[Path]) -> Iterable[dict[str, Any]]:
    """The cases whose label differs from the verdict, with the ``verdict``."""
    with Pool(VerifierSettings(workers=1), MAKER) as pool:
        for file in files:
            for case in read(file):
                verdict = str(judge(pool, case).outcome)
                if (verdict == "correct") != bool(case["expected"]):
                    yield {**case, "verdict": verdict}


def table(known: Iterable[dict[str, Any]]) -> str:
    """A row of Markdown for each disagreement, by kind."""
    lines: list[str] = []
    kind = ""
    for case in known:
        if case["kind"] != kind:
            kind = case["kind"]
            lines += [f"\n{kind.replace('_', ' ')}:\n\n{_HEAD}"]
        label = "right" if case["expected"] else "wrong"
        cells = _shown(case["gold"]), _shown(case["prediction"]), label, case["verdict"]
        lines.append(f"| {' | '.join((*cells, case['who_is_right']))} |")
    return "\n".join(lines).strip()


def _shown(text: str) -> str:
    """As code in a cell of a table: its end, where a response has its answer."""
    line = " ".join(text.split())
    line = line if len(line) <= SHOWN_CHARACTERS else "..." + line[-SHOWN_CHARACTERS:]
    escaped = line.replace("|", "\\|").replace("`", "'")
    return f"`{escaped}`" if escaped else "(empty)"


def _key(case: dict[str, Any]) -> tuple[str, str]:
    return case["gold"], case["prediction"][-80:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
