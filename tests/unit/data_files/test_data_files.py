"""Files of problems as people have them: every form and layout gives the same problems."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.rows.row import parse_row
from vapo.cli.errors import CommandError
from vapo.cli.sending.problem_file import read_problems
from vapo.cli.sending.row_errors import told
from vapo.data_files.columns import value_at, without
from vapo.data_files.errors import DataFileError, RowError
from vapo.data_files.mapping import ColumnOptions
from vapo.data_files.reader import read_file, rows_of_text, unit_of
from vapo.data_files.reference_answers import answer_text, last_box

NO_OPTIONS = ColumnOptions()
TEXT_ROWS = [
    {"question": '2+2?\nThink, "then" say.', "answer": "so 4\n#### 4", "level": "1"},
    {"question": "größer; 3+3?", "answer": "#### 6", "level": "2"},
]


def as_lines(rows: list[dict[str, Any]], end: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), stream)
    return stream.getvalue()


def gzipped(raw: bytes) -> bytes:
    """Compressed without the time of day, which would stand in the names of the tests that hold it."""
    return gzip.compress(raw, mtime=0)


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "lines": as_lines,
    "lines with CRLF": lambda rows: as_lines(rows, "\r\n"),
    "lines with a byte-order mark": lambda rows: b"\xef\xbb\xbf" + as_lines(rows),
    "array": lambda rows: json.dumps(rows).encode(),
    "printed array with a mark": lambda rows: b"\xef\xbb\xbf" + json.dumps(rows, indent=2).encode(),
    "object around an array": lambda rows: json.dumps({"data": rows}).encode(),
    "printed object": lambda rows: json.dumps({"version": 1, "data": rows}, indent=1).encode(),
    "gzip": lambda rows: gzipped(as_lines(rows)),
    "csv": as_csv,
    "csv with a mark": lambda rows: b"\xef\xbb\xbf" + as_csv(rows),
    "semicolons": lambda rows: as_csv(rows, ";"),
    "tsv": lambda rows: as_csv(rows, "\t"),
    "parquet": as_parquet,
}


def problems_of(file: Path, options: ColumnOptions = NO_OPTIONS) -> list[dict[str, Any]]:
    """The problems without their ids, which hold the row's number; no row may be wrong."""
    read = read_problems(file, options)
    assert not read.errors
    return [{name: value for name, value in problem.items() if name != "id"} for problem in read.problems.problems]


def refusal_of(file: Path, options: ColumnOptions = NO_OPTIONS) -> str:
    """What is said of a file that cannot be read, or of its rows."""
    try:
        read = read_problems(file, options)
    except CommandError as error:
        return str(error)
    assert read.errors
    return f"{file}: {told(read.problems.unit, read.errors, None)}"


def written(folder: Path, content: bytes, name: str = "file") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["file", "file.jsonl", "file.csv"])
def test_every_form_gives_the_same_problems_whatever_its_name(tmp_path: Path, form: str, name: str) -> None:
    assert problems_of(written(tmp_path, FORMS[form](TEXT_ROWS), name)) == [
        {"prompt": TEXT_ROWS[0]["question"], "answer": "4", "metadata": {"level": "1"}},
        {"prompt": TEXT_ROWS[1]["question"], "answer": "6", "metadata": {"level": "2"}},
    ]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "prompt": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
                "answer": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
            }
        ).filter(lambda row: row["prompt"].strip()),
        min_size=1,
        max_size=5,
    )
)
def test_lines_and_array_agree_and_the_gateway_takes_every_problem(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("files")
    lines = problems_of(written(folder, as_lines(rows)))
    assert lines == problems_of(written(folder, json.dumps(rows).encode()))
    for row, problem in zip(rows, lines, strict=True):
        checked = parse_row(1, problem)
        assert checked.prompt == row["prompt"]
        assert float(checked.answer) == float(row["answer"])


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (as_lines(TEXT_ROWS).decode().encode("utf-16"), "UTF-16"),
        (as_lines(TEXT_ROWS).decode().encode("utf-16-le"), "UTF-16"),
        (b"PK\x03\x04rest", "Excel"),
        (b"\x28\xb5\x2f\xfdrest", "zstd"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (gzipped(b"")[:-4], "cannot be read"),
        (as_csv(TEXT_ROWS).decode().encode("latin-1"), "line 5 is not UTF-8: byte 0xf6"),
        (b"a,a\n1,2\n", "must name each column once"),
        (b'q,answer\n"1,2\n3,4\n', "is not CSV"),
        (b'[{"prompt": "1"}, \n', "row 2: is not JSON"),
        (gzipped(b"PAR1"), "is Parquet where only text is read"),
        (b"[1]\n[2]\n", "JSON array in each line"),
        (b"PAR1", "Parquet file cannot be read"),
        (b"", "holds no problems"),
        (b"[]", "holds no problems"),
        (b"prompt and answer", "line 1: is not JSON"),
        (b'{"text": "1", "score": 2}', "hold the prompt; name it with --prompt-field. Its columns"),
        (b'{"prompt": "1", "score": 2}', "hold the answer; name it with --answer-field"),
        (b'{"prompt": "1", "a": {"b": {"c": 2}, "d": 3}}', "columns are prompt, a.b.c, a.d"),
    ],
)
def test_what_a_file_is_instead_is_named(tmp_path: Path, content: bytes, cause: str) -> None:
    refusal = refusal_of(written(tmp_path, content))
    assert "file: " in refusal
    assert cause in refusal


def test_a_header_with_one_name_twice_is_refused() -> None:
    with pytest.raises(DataFileError, match="must name each column once"):
        list(rows_of_text(b"a,a\n1,2\n", ".csv"))


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    for file, cause in ((tmp_path, "is a folder"), (tmp_path / "none", "No such file")):
        with pytest.raises(CommandError, match=cause):
            read_problems(file, NO_OPTIONS)


@pytest.mark.parametrize(
    ("content", "unit", "numbers"),
    [
        (b'\n{"prompt": "1"}\n\n{"prompt": "2"}', "line", [2, 4]),
        (b'[{"prompt": "1"},\n\n {"prompt": "2"}]', "row", [1, 2]),
        (b'prompt,answer\n"1\n2",3\n\n4,5\n', "line", [2, 5]),
        (as_parquet([{"prompt": "1"}, {"prompt": "2"}]), "row", [1, 2]),
    ],
)
def test_rows_count_from_one_as_the_file_shows_them(
    tmp_path: Path, content: bytes, unit: str, numbers: list[int]
) -> None:
    file = written(tmp_path, content)
    assert [number for number, _ in read_file(file)] == numbers
    assert unit_of(file) == unit


def test_all_wrong_rows_are_named_each_with_its_line(tmp_path: Path) -> None:
    bad = [
        b'{"prompt": "1", "answer": null}',
        b'{"prompt": "1", "answer": "\\ud83d"}',
        b"3",
        b'{"prompt": " ", "answer": "1"}',
        b'{"prompt": 5, "answer": "1"}',
        b'{"prompt": "1", "answer": [1, 2]}',
        b'{"prompt": "1", "answer": true}',
        b'{"prompt": "1", "answer": {"value": 3}}',
        b'{"prompt": "1", "answer": Infinity}',
        b'{"prompt": "1", "messages": [{"role": "user", "content": "1"}], "answer": "1"}',
        b'{"prompt": "1", "answer": "1", "id": [1]}',
    ]
    file = written(tmp_path, b"\n".join([b'{"prompt": "1", "answer": "1"}', b"", *bad]))
    first, *lines, _ = refusal_of(file).splitlines()
    assert "11 lines are refused" in first
    assert [line.split(",")[0].split(":")[0].strip() for line in lines] == [f"line {number}" for number in range(3, 14)]
    for line, word in zip(
        lines,
        [
            "no value",
            "not JSON",
            "int",
            "empty",
            "neither a text",
            "2 different answers",
            "is true",
            "answer.value",
            "Infinity",
            "prompt and messages",
            "neither",
        ],
        strict=True,
    ):
        assert word in line
    errors = read_problems(file, NO_OPTIONS).errors
    assert "and 1 more; --errors lists all" in told("line", errors)


@pytest.mark.parametrize("value", [b"NaN", b'"\\ud83d"', b"-Infinity"])
def test_an_element_of_an_array_is_named_as_a_line_is(tmp_path: Path, value: bytes) -> None:
    content = b'[{"prompt": "1", "answer": "1"},\n{"prompt": "1", "answer": ' + value + b"}\n, 3]"
    read = read_problems(written(tmp_path, content), NO_OPTIONS)
    assert [error["row"] for error in read.errors] == [2, 3]
    assert "is not JSON" in read.errors[0]["message"]
    assert len(read.problems.problems) == 1


USER = [{"role": "user", "content": "1+1=?"}]
ANSWERED = [*USER, {"role": "assistant", "content": "2"}]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (  # verl
            {
                "data_source": "gsm8k",
                "prompt": USER,
                "ability": "math",
                "reward_model": {"ground_truth": "2", "style": "rule"},
                "extra_info": {"index": 7},
            },
            {
                "messages": USER,
                "answer": "2",
                "metadata": {
                    "data_source": "gsm8k",
                    "ability": "math",
                    "reward_model": {"style": "rule"},
                    "extra_info": {"index": 7},
                },
            },
        ),
        (  # MATH
            {"problem": "1+1=?", "level": "1", "solution": r"a \boxed{1} so \boxed{\frac{4}{2}}."},
            {"prompt": "1+1=?", "answer": r"\frac{4}{2}", "metadata": {"level": "1"}},
        ),
        (  # SVAMP
            {"ID": "chal-1", "Body": "One and one.", "Question": "How many? ", "Answer": 2.0},
            {"prompt": "One and one. How many?", "answer": "2", "metadata": {"ID": "chal-1"}},
        ),
        (  # OpenR1: its messages end with an answer
            {"problem": "1+1=?", "solution": "It is 2.", "answer": "2", "messages": ANSWERED},
            {"prompt": "1+1=?", "answer": "2", "metadata": {"solution": "It is 2.", "messages": ANSWERED}},
        ),
        (  # OlympiadBench
            {"question": "1+1=?", "final_answer": ["2"], "unit": None},
            {"prompt": "1+1=?", "answer": "2"},
        ),
        (  # the gateway's own, with a column of someone's
            {"prompt": "1+1=?", "answer": 2, "source": "mine", "metadata": {"a": 1}, "samples": 3},
            {"prompt": "1+1=?", "answer": "2", "samples": 3, "metadata": {"source": "mine", "a": 1}},
        ),
        ({"messages": USER, "answer": "2"}, {"messages": USER, "answer": "2"}),
    ],
)
@pytest.mark.parametrize("form", ["lines", "array", "parquet"])
def test_layouts_as_they_are_published(tmp_path: Path, row: dict[str, Any], problem: dict[str, Any], form: str) -> None:
    file = written(tmp_path, FORMS[form]([row]))
    assert problems_of(file) == [problem]
    parse_row(1, problem)


def test_named_columns_are_taken_and_ignored_ones_left_out(tmp_path: Path) -> None:
    row = {"q": {"text": "1+1=?"}, "a": ["x", "so 2."], "n": 5, "big": "...", "huge": 2**80}
    options = ColumnOptions("q.text", "a.1", None, "n", " Box it.", frozenset({"big"}))
    [problem] = read_problems(written(tmp_path, as_lines([row])), options).problems.problems
    assert problem == {
        "id": "5",
        "prompt": "1+1=? Box it.",
        "answer": "so 2.",
        "metadata": {"a": ["x", "so 2."], "huge": str(2**80)},
    }
    parse_row(1, problem)
    only = ColumnOptions("q.text", "a.1", ignored=frozenset({"*"}))
    [bare] = problems_of(written(tmp_path, as_lines([row])), only)
    assert bare == {"prompt": "1+1=?", "answer": "so 2."}


def test_a_text_is_appended_to_the_last_user_message(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "and "}, {"type": "text", "text": "2+2?"}]
    last = {"role": "user", "content": parts, "name": None}
    talk = [{"role": "system", "content": "Be brief."}, *ANSWERED, last]
    file = written(tmp_path, as_lines([{"messages": talk, "answer": "4"}]))
    [problem] = problems_of(file, ColumnOptions(append="\nBox it."))
    assert problem["messages"][-1] == {"role": "user", "content": "and 2+2?\nBox it."}
    assert problem["messages"][:-1] == talk[:-1]
    tokens = written(tmp_path, as_lines([{"prompt_token_ids": [1, 2], "answer": "4"}]))
    assert "--append cannot add" in refusal_of(tokens, ColumnOptions(append="x"))


def test_messages_as_clients_write_them_become_plain() -> None:
    parts = [{"type": "text", "text": "1+"}, {"type": "text", "text": "1"}]
    row = parse_row(1, {"messages": [{"role": "user", "content": parts, "name": None}], "answer": "2", "id": 17})
    assert row.messages is not None
    assert (row.messages[0].content, row.id) == ("1+1", "17")
    for messages, word in (
        ([{"role": "tool", "content": "5"}], "'system', 'developer', 'user'"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "'image_url'"),
        ([{**USER[0], "name": "me"}], "messages.0.name: unknown field; known are: role, content$"),
        (ANSWERED, "end with the assistant's turn"),
    ):
        with pytest.raises(RowError, match=word):
            parse_row(1, {"messages": messages, "answer": "2"})


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_is_its_plain_decimals(number: float) -> None:
    text = answer_text(number)
    assert float(text) == float(number)
    assert set(text) <= set("-.0123456789")
    assert answer_text([number]) == text


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"\boxed{7}", "7"),
        (r"\boxed{1} then \fbox{ \frac{1}{2} }", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{3} and \boxed{}", "3"),
        (r"\boxed 5", "5"),
        (r"\boxed{unclosed", None),
        ("none", None),
    ],
)
def test_the_last_box_that_is_not_empty(solution: str, answer: str | None) -> None:
    assert last_box(solution) == answer


@given(st.dictionaries(st.sampled_from(["a", "a.b", "a+b", "c"]), st.integers(), min_size=1))
def test_a_column_is_found_by_its_own_name_first(row: dict[str, int]) -> None:
    for column in row:
        assert value_at(row, column) == row[column]
        assert without(row, column) == {k: v for k, v in row.items() if k != column}


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "ground_truth", "a.b", ""]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
COLUMNS = st.sampled_from(
    [
        "prompt",
        "messages",
        "prompt_token_ids",
        "question",
        "answer",
        "reward_model",
        "solution",
        "id",
        "metadata",
        "samples",
        "Body",
        "other",
    ]
)


@given(
    st.lists(st.dictionaries(COLUMNS, JSON_VALUES, max_size=5) | JSON_VALUES, max_size=4),
    st.builds(
        ColumnOptions,
        prompt_field=st.sampled_from([None, "question", "Body+question", "messages.0.content"]),
        answer_field=st.sampled_from([None, "reward_model.ground_truth", "answer.0"]),
        append=st.sampled_from(["", " Box it."]),
    ),
)
def test_whatever_the_rows_hold_they_become_problems_or_are_told(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], options: ColumnOptions
) -> None:
    file = written(tmp_path_factory.mktemp("files"), json.dumps(rows).encode())
    try:
        read = read_problems(file, options)
    except CommandError:
        return
    assert len(read.problems.problems) + len(read.errors) == len(rows)
    for problem in read.problems.problems:
        sent = json.loads(json.dumps(problem, allow_nan=False))
        with suppress(RowError):
            parse_row(1, sent)


@given(
    st.binary(max_size=60)
    | st.tuples(st.sampled_from(sorted(FORMS)), st.integers(0, 400), st.binary(max_size=3))
    .map(
        lambda damage: (
            FORMS[damage[0]](TEXT_ROWS)[: damage[1]] + damage[2] + FORMS[damage[0]](TEXT_ROWS)[damage[1] + 1 :]
        )
    )
    .filter(lambda content: not content.startswith(b"PAR1"))
)
def test_whatever_a_file_holds_its_rows_come_or_the_cause_is_told(content: bytes) -> None:
    for ending in ("", ".csv", ".jsonl"):
        try:
            rows = list(rows_of_text(content, ending))
        except DataFileError:
            continue
        numbers = [number for number, _ in rows]
        assert numbers == sorted(set(numbers))
        assert all(number > 0 for number in numbers)


@pytest.mark.parametrize(
    ("content", "unit", "number"),
    [
        (b'{"data": [{"prompt": "1", "answer": "1"}, {"prompt": "", "answer": "1"}]}', "row", 2),
        (b'{"version": 1,\n "rows": [{"prompt": " ", "answer": "1"}]}', "row", 1),
        (gzipped(b'[{"prompt": "1", "answer": "1"},\n\n{"prompt": "", "answer": "2"}]'), "row", 2),
        (b'\n\n{"prompt": " ", "answer": "1"}', "line", 3),
        (gzipped(b'\n{"prompt": " ", "answer": "1"}\n'), "line", 2),
        (b',prompt,answer\n0,1+1=?,2\n1," ",3\n', "line", 3),
    ],
)
def test_wrong_rows_are_told_in_what_their_numbers_count(
    tmp_path: Path, content: bytes, unit: str, number: int
) -> None:
    file = written(tmp_path, content)
    read = read_problems(file, ColumnOptions("prompt", "answer"))
    assert [error["row"] for error in read.errors] == [number]
    assert read.problems.unit == unit


def _errors_of(file: Path) -> list[dict[str, Any]]:
    return read_problems(file, ColumnOptions("prompt", "answer")).errors


@pytest.mark.parametrize(
    ("header", "names"), [(",q,answer", ["column_1"]), ("q,,answer", ["column_2"]), ("q,answer,,", ["column_3"])]
)
def test_columns_of_csv_without_a_name_are_numbered(tmp_path: Path, header: str, names: list[str]) -> None:
    cells = ["5" if not name else {"q": "1+1=?", "answer": "2"}[name] for name in header.split(",")]
    if header.endswith(",,"):
        cells[-1] = ""
    file = written(tmp_path, f"{header}\n{','.join(cells)}\n".encode(), "file.csv")
    problem = problems_of(file, ColumnOptions("q"))[0]
    assert problem["answer"] == "2"
    assert list(problem["metadata"]) == names


def test_columns_without_any_value_are_named_as_empty(tmp_path: Path) -> None:
    for column, row in {
        "answer": {"prompt": "1", "answer": None},
        "Answer": {"prompt": "1", "Answer": ""},
        "question": {"question": "", "answer": "2"},
    }.items():
        refusal = refusal_of(written(tmp_path, as_lines([row] * 3)))
        assert f"column {column!r} is empty throughout" in refusal


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ('["34"]', "34"),
        (' [ "x+1" ] ', "x+1"),
        ('["2", "2"]', "2"),
        ("[1, 2]", "[1, 2]"),
        ("[2]", "[2]"),
        ('["a] or [b"', '["a] or [b"'),
        ('["1", 2, "3"]', '["1", 2, "3"]'),
    ],
)
def test_a_list_of_texts_that_is_written_as_text_is_its_element(answer: str, read: str) -> None:
    assert answer_text(answer) == read


def test_a_written_list_of_several_answers_is_refused_as_the_list_is() -> None:
    with pytest.raises(ValueError, match="2 different answers"):
        answer_text('["1", "2"]')


def test_pictures_beside_the_problem_do_no_harm_and_are_no_prompt(tmp_path: Path) -> None:
    row = {"prompt": "1+1=?", "answer": "2", "images": [{"bytes": b"\x89PNG\xff", "path": None}]}
    problem = problems_of(written(tmp_path, as_parquet([row])))[0]
    assert problem["metadata"] == {"images": [{"bytes": {"bytes": 5}, "path": None}]}
    wrong = _errors_of(written(tmp_path, as_parquet([{**row, "prompt": b"\xff"}])))
    assert "neither a text nor a list" in wrong[0]["message"]


def test_columns_that_are_named_and_not_there_are_told(tmp_path: Path) -> None:
    file = written(tmp_path, as_lines([{"prompt": "1", "answer": "2", "info": {"a": 1, "b": 2}}]))
    read = read_problems(file, ColumnOptions(ignored=frozenset({"nope", "info.a", "*"})))
    assert read.ignored_in_vain == ["nope"]
    kept = read_problems(file, ColumnOptions(ignored=frozenset({"info.a"}))).problems.problems[0]
    assert kept["metadata"] == {"info": {"b": 2}}
    with pytest.raises(CommandError, match="has no column 'nope'; its columns are prompt"):
        read_problems(file, ColumnOptions(id_field="nope"))
