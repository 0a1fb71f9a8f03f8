"""docs/architecture.md shows the routing table as the ledger has it."""

from __future__ import annotations

from pathlib import Path

from vapo.ledger.routes import TABLE, Journey, Route

PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture.md"


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def row(route: Route) -> str:
    at, event, *places = route
    return line([f"`{at}`" if at else "new", event, *(f"`{place}`" if place else "" for place in places)])


def test_the_page_shows_the_table() -> None:
    table = [line(["at", "event", *Journey]), line(["---"] * 5), *map(row, TABLE)]
    assert "\n".join(table) in PAGE.read_text("utf-8")
