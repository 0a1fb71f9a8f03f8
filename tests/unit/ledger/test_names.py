"""Names that Python and the Lua scripts share exist once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vapo.ledger import scripts

FILES = sorted(path.stem for path in (Path(scripts.__file__).parent / "lua").glob("*.lua"))
REDIS_WORDS = {"MAXLEN", "GROUP", "COUNT", "STREAMS", "~", "*", ">"}
OF_LUA = {"", "0", "1", ",", ".", "|", "%d+", "^(.*)|([%d,]*)$"}
"""Truths, separators and patterns."""
TABLES_OF_LUA = {"redis", "string", "table", "math", "cjson"}


def code_of(name: str) -> str:
    """A script without its comments."""
    return "\n".join(line for line in scripts.read(name).split("\n") if not line.startswith("--"))


def test_every_script_is_known() -> None:
    assert set(FILES) == {*scripts.NAMES, "release"}


@pytest.mark.parametrize("name", FILES)
def test_a_script_spells_no_key_field_or_state_of_its_own(name: str) -> None:
    code = code_of(name)
    commands = set(re.findall(r"redis\.call\('([A-Z]+)'", code))
    spelled = set(re.findall(r"'([^']*)'", code)) - commands - REDIS_WORDS - OF_LUA
    assert spelled == set(), f"define {spelled} in vapo/ledger/keys.py and write them as Field.X, Key.X, ..."
    assert '"' not in code
    assert "[[" not in code
    vocabularies = {*scripts.VOCABULARIES, "Before", "After"}
    accesses = re.findall(r"\b(\w+)\.(\w+)", code)
    strange = {f"{owner}.{field}" for owner, field in accesses if owner not in TABLES_OF_LUA | vocabularies}
    assert strange == set(), f"write {strange} as [Field.X]"
    assert not re.findall(r"\{\s*\w+\s*=[^=]", code), "write fields of tables as [Field.X] = ..."


@pytest.mark.parametrize("name", FILES)
def test_every_name_in_a_script_is_one_of_pythons(name: str) -> None:
    for vocabulary, word in scripts.NAME.findall(code_of(name)):
        assert scripts.text_of(vocabulary, word)


def test_a_name_stands_for_its_text() -> None:
    assert scripts.text_of("Key", "BACKLOG") == "'backlog'"
    assert scripts.text_of("Purpose", "TRAIN") == "'train'"
    assert (scripts.text_of("Before", "TRAINED"), scripts.text_of("After", "TRAINED")) == ("'scored'", "'trained'")
    assert "['tasks'] = 'queued'" in scripts.text_of("After", "REVIVED")
    with pytest.raises(KeyError):
        scripts.text_of("Field", "NO_SUCH")


def test_no_name_says_two_things() -> None:
    for vocabulary, words in scripts.VOCABULARIES.items():
        assert len(words) == len(set(words.values())), vocabulary
