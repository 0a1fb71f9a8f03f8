"""docs/algorithm.md names functions, files, settings, presets and tests that exist."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vapo.settings import Settings, dump_settings
from vapo.settings.corrections import CORRECTIONS
from vapo.settings.presets import ABLATIONS, PRESETS

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "algorithm.md").read_text("utf-8")
QUOTED = re.findall(r"`([^`\n]+)`", TEXT)
FILES = {"py", "json", "jsonl", "md"}
"""Endings of file names, which look like names in a module."""
SETTINGS = dump_settings(Settings())
PACKAGES = ("trainer.algorithm", "trainer.learning", "trainer.intake", "trainer.records", "trainer", "vapo.model")
MODULES = {
    path.stem: f"{package}.{path.stem}"
    for package in reversed(PACKAGES)
    for path in (ROOT / package.replace(".", "/")).glob("*.py")
}


def _dotted() -> Iterator[tuple[str, str]]:
    for quoted in QUOTED:
        module, dot, name = quoted.partition(".")
        if name in FILES or name in SETTINGS.get(module, {}):
            continue
        if dot and module in MODULES and re.fullmatch(r"\w+", name):
            yield module, name


@pytest.mark.parametrize(("module", "name"), sorted(set(_dotted())))
def test_named_functions_exist(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(MODULES[module]), name)


def test_each_equation_has_its_function() -> None:
    rows = re.findall(r"^\| ((?:DAPO |VC-PPO )?(?:Eq|§|Alg)[^|]*)\|[^|]*\|([^|]*)\|", TEXT, re.M)
    assert len(rows) >= 14
    for equation, functions in rows:
        assert any(f"`{module}.{name}`" in functions for module, name in _dotted()), equation
    named = "".join(equation for equation, _ in rows)
    assert all(f"Eq {number}" in named or f"–{number}" in named for number in range(2, 11))


def test_named_files_and_tests_exist() -> None:
    paths = [quoted for quoted in QUOTED if re.fullmatch(r"[\w/-]+/[\w.-]+\.(py|md|json)", quoted)]
    assert len(paths) >= 4
    assert [path for path in paths if not (ROOT / path).exists()] == []
    tests = {quoted for quoted in QUOTED if re.fullmatch(r"test_\w+", quoted)}
    assert len(tests) >= 14
    written = "".join(
        path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py") if path.name != Path(__file__).name
    )
    assert [name for name in tests if f"def {name}(" not in written] == []


def test_every_algorithm_setting_is_described() -> None:
    tree = dump_settings(Settings())
    missing = [name for name in tree["algorithm"] if f"`{name}`" not in TEXT and f"`algorithm.{name}`" not in TEXT]
    assert missing == []
    for quoted in QUOTED:
        section, dot, key = quoted.partition(".")
        if dot and section in tree and section not in MODULES and re.fullmatch(r"\w+", key):
            assert key in tree[section], quoted


def _table(section: str) -> list[list[str]]:
    """Cells of all rows of the first table of a section, the head left out."""
    part = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _means(word: str, value: object) -> bool:
    """Whether the text says of a setting what it is."""
    if word in ("on", "off", "unset"):
        return value is True if word == "on" else value is None or (word == "off" and not value)
    if isinstance(value, str):
        return word == f"`{value}`"
    return not isinstance(value, bool) and value is not None and float(word) == value


def test_defaults_in_the_table_are_the_code_s() -> None:
    tree = dump_settings(Settings())
    described = set()
    for names, defaults, *_ in _table("Defaults"):
        words = [re.sub(r" \(.*\)", "", word).strip() for word in defaults.split(",")]
        for name, word in zip(re.findall(r"`([\w.]+)`", re.sub(r"\(.*", "", names)), words, strict=True):
            section, _, key = name.rpartition(".")
            assert _means(word, tree[section or "algorithm"][key]), f"{name}: {word}"
            described.add(key)
    assert described >= tree["algorithm"].keys()


def test_bounds_in_the_table_are_the_corrections_own() -> None:
    rows = [row for row in _table("Off-policy correction") if row[0].split("`")[1] in CORRECTIONS]
    assert {row[0].split("`")[1] for row in rows} == CORRECTIONS.keys()
    for name, _, bounds, *_ in rows:
        facts = CORRECTIONS[name.split("`")[1]]
        words = (bounds.split(", ") * 2)[:2]
        for word, default in zip(words, (facts.low, facts.high), strict=True):
            assert (word == "–") if default is None else (float(word) == default), name


def test_every_preset_is_described() -> None:
    assert [name for name in PRESETS if f"`{name}`" not in TEXT] == []
    assert all(name.startswith("without_") for name in ABLATIONS)
