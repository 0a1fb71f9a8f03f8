"""The table of OpenAI's parameters in ``docs/rest.md``, row by row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

DOCUMENT = Path(__file__).parents[2] / "docs" / "rest.md"
HEAD = "| parameter | calls |"
Call = Literal["chat", "completions"]


@dataclass(frozen=True)
class Parameter:
    """One row."""

    name: str
    calls: tuple[Call, ...]
    support: Literal["taken", "neutral"]
    takes: tuple[Any, ...]
    refuses: tuple[Any, ...]


def parameters() -> list[Parameter]:
    """All rows of the table."""
    return list(_rows())


def _rows() -> Iterator[Parameter]:
    lines = iter(DOCUMENT.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if line.startswith(HEAD):
            break
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        name, calls, support, takes, refuses, _ = (cell.strip() for cell in line.strip("|").split("|"))
        both: tuple[Call, ...] = ("chat", "completions")
        yield Parameter(
            name.strip("`"),
            both if calls == "both" else (calls,),  # type: ignore[arg-type]
            support,
            _values(takes),
            _values(refuses),
        )  # type: ignore[arg-type]


def _values(cell: str) -> tuple[Any, ...]:
    return tuple(json.loads(text) for text in re.findall(r"`([^`]*)`", cell))
