"""The rooms (folders of `vapo`, `services`, `trainer` and `lab` that hold Python files), and who imports whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("vapo", "services", "trainer", "lab")


@dataclass(frozen=True)
class Import:
    """One file of ours that imports another, wherever in its text."""

    importer: Path
    line: int
    imported: Path

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def room(file: Path) -> str:
    """The folder of a file, as the table and the tree name it."""
    return file.parent.as_posix()


def files() -> list[Path]:
    """All Python files of the rooms, relative to the repository."""
    return sorted(path.relative_to(ROOT) for top in TOPS for path in (ROOT / top).rglob("*.py"))


def rooms() -> list[str]:
    """All rooms, sorted."""
    return sorted({room(file) for file in files()})


def imports() -> list[Import]:
    """Every import of one of our files by another: lazy ones, those for annotations, and those by `import_module`."""
    modules = {_dotted(file): file for file in files()}
    return [
        Import(file, line, modules[name])
        for file in files()
        for line, name in _names(file, modules)
        if name in modules and modules[name] != file
    ]


def _dotted(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def _names(file: Path, modules: dict[str, Path]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(names=names):
                origin = _origin(file, node)
                whole = [f"{origin}.{alias.name}" for alias in names]
                yield from ((node.lineno, name if name in modules else origin) for name in whole)
            case ast.Call(
                func=ast.Name("import_module") | ast.Attribute(attr="import_module"), args=[ast.Constant(value)]
            ):
                yield node.lineno, str(value)


def _origin(file: Path, node: ast.ImportFrom) -> str:
    """What stands between `from` and `import`, in full."""
    folder = file.parent.parts[: len(file.parent.parts) - node.level + 1] if node.level else ()
    return ".".join([*folder, *([node.module] if node.module else [])])
