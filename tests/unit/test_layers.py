"""The direction of imports, and which parts stay light (design sections 2 and 3)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _imports(folder: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.relative_to(ROOT), alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield path.relative_to(ROOT), node.module


def test_vapo_imports_neither_services_nor_trainer() -> None:
    wrong = [(path, name) for path, name in _imports("vapo") if name.split(".")[0] in ("services", "trainer")]
    assert wrong == []


def test_services_import_no_other_service_nor_the_trainer() -> None:
    wrong = []
    for path, name in _imports("services"):
        parts = name.split(".")
        other = parts[0] == "services" and len(parts) > 1 and parts[1] != path.parts[1]
        if parts[0] == "trainer" or other:
            wrong.append((path, name))
    assert wrong == []


def test_the_trainer_imports_no_service() -> None:
    assert [(path, name) for path, name in _imports("trainer") if name.startswith("services")] == []


@pytest.mark.parametrize("module", ["services.gateway.app", "services.verifier.app", "services.relay.app", "vapo.cli"])
def test_light_parts_do_without_torch(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'vllm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
