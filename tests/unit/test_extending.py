"""docs/extending.md names files, tests and sections that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "extending.md").read_text("utf-8")
QUOTED = re.findall(r"`([^`\n]+)`", TEXT)


def test_named_files_and_folders_exist() -> None:
    paths = [quoted for quoted in QUOTED if re.fullmatch(r"(vapo|services|trainer|lab|tests)/[\w/.-]*", quoted)]
    assert len(paths) >= 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_named_tests_exist() -> None:
    tests = {quoted for quoted in QUOTED if quoted.startswith("test_")}
    assert len(tests) >= 14
    written = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in sorted(tests) if f"def {name}(" not in written] == []


def test_named_tables_stand_where_the_page_says() -> None:
    """`FILE`: ... `TABLE`, in one item of a list."""
    for item in re.split(r"\n(?=\d\. |- |## )", TEXT):
        files = [ROOT / quoted for quoted in re.findall(r"`([\w/]+\.py)`", item)]
        for name in re.findall(r"`(_?[A-Z][A-Z_]{4,})`", item):
            assert any(f"\n{name}" in file.read_text("utf-8") for file in files), f"{name}: not in {files}"


def test_named_sections_of_pages_exist() -> None:
    for page, section in re.findall(r"\[(\w+\.md)\]\(\w+\.md\), \*([\w -]+)\*", TEXT):
        text = (ROOT / "docs" / page).read_text("utf-8")
        assert re.search(rf"^(#+ {section}$|\*\*{section}\*\*)", text, re.MULTILINE), f"{page}: no section {section}"
