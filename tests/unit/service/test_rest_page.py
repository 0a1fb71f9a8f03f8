"""docs/rest.md has a row for every call of every part, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from vapo.weights.manifest import MANIFEST

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "rest.md").read_text("utf-8")
METHODS = {"get", "post", "put", "patch", "delete"}
EVERY_PART = "every part"
NAMES = {"MANIFEST": MANIFEST}
Call = tuple[str, str, str]
"""Part, method, path."""


def served() -> Iterator[tuple[str, Path]]:
    """Who serves the calls of which file."""
    for folder in sorted((ROOT / "services").iterdir()):
        yield from ((folder.name, file) for file in folder.rglob("*.py"))
    yield from (("trainer", file) for file in [*(ROOT / "trainer").glob("*.py"), ROOT / "vapo/weights/serving.py"])
    yield from ((EVERY_PART, file) for file in (ROOT / "vapo" / "service").glob("*.py"))


def calls(file: Path) -> Iterator[tuple[str, str]]:
    """Method and path of every decorated function, pages for people left out."""
    tree = ast.parse(file.read_text("utf-8"))
    prefix = ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "APIRouter":
            prefix = next((text(word.value) for word in node.keywords if word.arg == "prefix"), "")
    for node in ast.walk(tree):
        for found in getattr(node, "decorator_list", []):
            if not isinstance(found, ast.Call) or not isinstance(found.func, ast.Attribute) or not found.args:
                continue
            hidden = any(word.arg == "include_in_schema" for word in found.keywords)
            if found.func.attr in METHODS and not hidden:
                yield found.func.attr.upper(), prefix + text(found.args[0])


def text(node: ast.expr) -> str:
    match node:
        case ast.Constant(str(value)):
            return value
        case ast.JoinedStr(values):
            return "".join(text(value) for value in values)
        case ast.FormattedValue(ast.Name(name)):
            return NAMES[name]
    raise AssertionError(f"a path that this test cannot read: {ast.unparse(node)}")


def table() -> set[Call]:
    part = PAGE.split("\n## Every call\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+) (\S+)` \| ([^|]+) \|", part, re.MULTILINE)
    return {(name.strip(), method, path) for method, path, names in rows for name in names.split(",")}


def test_every_call_has_its_row() -> None:
    there = {(part, method, path) for part, file in served() for method, path in calls(file)}
    assert len(there) > 30
    assert sorted(there - table()) == [], "docs/rest.md, Every call: add a row for each of these"
    assert sorted(table() - there) == [], "docs/rest.md, Every call: no part serves these"


def test_every_call_of_the_gateway_asks_for_a_token() -> None:
    """In the decorator of the call, or for its whole router."""
    for file in sorted((ROOT / "services" / "gateway" / "routes").glob("*.py")):
        source = file.read_text("utf-8")
        routers = [ast.unparse(node) for node in ast.parse(source).body if "APIRouter(" in ast.unparse(node)]
        for node in ast.parse(source).body:
            for found in map(ast.unparse, getattr(node, "decorator_list", [])):
                if found.startswith("router.") and "include_in_schema" not in found:
                    assert "require(" in found + "".join(routers), f"{file.name}: {found} asks for no token"
