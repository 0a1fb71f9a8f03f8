"""The faces of the verifier's rooms: what may be imported of them, and what they may import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from services.verifier import judgement, pool
from services.verifier.judgement.extraction import MAXIMUM_RESPONSE_CHARACTERS as SEARCHED
from services.verifier.pool.pool import MAXIMUM_RESPONSE_CHARACTERS as SENT

ROOT = Path(__file__).resolve().parents[3]
MATHEMATICS = "services.verifier.judgement"
PUBLIC = {MATHEMATICS, f"{MATHEMATICS}.verdicts", "services.verifier.pool"}


def _imports(files: Iterator[Path]) -> Iterator[tuple[Path, str]]:
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path, str(node.module)


def test_the_mathematics_imports_nothing_of_the_platform() -> None:
    imported = _imports((ROOT / "services/verifier/judgement").glob("*.py"))
    ours = [(path, name) for path, name in imported if name.split(".")[0] in ("services", "vapo", "trainer", "lab")]
    assert [found for found in ours if not found[1].startswith(MATHEMATICS)] == []


def test_the_service_and_the_examples_use_the_public_names_alone() -> None:
    files = [*(ROOT / "services/verifier").glob("*.py"), *(ROOT / "examples/verifiers").glob("*.py")]
    inside = (f"{MATHEMATICS}.", "services.verifier.pool.")
    assert [found for found in _imports(iter(files)) if found[1].startswith(inside) and found[1] not in PUBLIC] == []


def test_the_faces_are_small() -> None:
    assert judgement.__all__ == ["MathVerifier", "extract", "verdicts"]
    assert pool.__all__ == ["Pool", "PoolError"]


def test_a_worker_is_sent_all_that_the_mathematics_searches() -> None:
    assert SENT == SEARCHED
