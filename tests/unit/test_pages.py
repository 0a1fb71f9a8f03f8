"""Every Markdown page: lines that fit a screen, links that lead somewhere, and an index that names the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "examples", "deploy", "lab", "vapo", "services", "trainer", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
WIDTH = 140
LONGEST_WORD = 100
"""A longer one is a link or a formula, which cannot be broken."""
GENERATED = ("lab/results/",)
"""Folders whose tables a study writes."""
MARKED = re.compile(r"<!-- disagreements -->.*<!-- end of disagreements -->", re.DOTALL)
"""Formulas side by side, written by lab.benchmarks.verifier_disagreements."""
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def too_long(page: Path) -> Iterator[int]:
    text = MARKED.sub(lambda found: "\n" * found.group().count("\n"), page.read_text("utf-8"))
    for number, line in enumerate(text.splitlines(), 1):
        table = line.startswith("|") and name(page).startswith(GENERATED)
        if len(line) > WIDTH and not table and max(map(len, line.split())) <= LONGEST_WORD:
            yield number


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_lines_fit(page: Path) -> None:
    assert list(too_long(page)) == [], f"{name(page)}: lines of more than {WIDTH} columns; break them"


def prose(page: Path) -> str:
    """A page less its code."""
    return re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as forges make it."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}: no such file"
        assert not anchor or anchor in anchors(target), f"{name(page)}: {link}: no such heading"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    linked = set(re.findall(r"^- \[[^]]+\]\(([\w/.-]+)\): \S", index, re.MULTILINE))
    missing = {page.name for page in (ROOT / "docs").glob("*.md")} - linked - {"README.md"}
    assert missing == set(), "docs/README.md: one line for each page"
