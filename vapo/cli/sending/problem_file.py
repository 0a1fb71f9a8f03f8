"""Problems in a person's file, as the gateway takes them: read, mapped, and named.

Invariants:
- an id follows from the file's name, the row's number and its content, so sending a file again
  after an interruption adds nothing twice;
- which columns were taken is said, unless the file has the gateway's own names;
- rows are told by their number in the file, also where the gateway refuses them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vapo.cli.errors import CommandError
from vapo.cli.sending.row_errors import ROWS_SHOWN, told
from vapo.data_files.errors import DataFileError, RowError
from vapo.data_files.layouts import FileLayout, absent, check_named, layout_of
from vapo.data_files.mapping import EVERY_OTHER_COLUMN, ColumnOptions, left_over, problem_of
from vapo.data_files.reader import NumberedRow, read_file, unit_of

LARGE_METADATA_BYTES = 4096


@dataclass(frozen=True)
class ProblemFile:
    """The problems of a file, and where in it each of them stands."""

    file: Path
    unit: str
    """``line`` or ``row``: what the numbers count."""
    numbers: list[int]
    problems: list[dict[str, Any]]

    def without(self, numbers: set[int]) -> ProblemFile:
        """The problems that do not stand at these places in the file."""
        kept = [place for place, number in enumerate(self.numbers) if number not in numbers]
        return ProblemFile(
            self.file, self.unit, [self.numbers[place] for place in kept], [self.problems[place] for place in kept]
        )


@dataclass(frozen=True)
class ReadFile:
    """What a file holds."""

    problems: ProblemFile
    layout: FileLayout
    """The columns they were taken from."""
    errors: list[dict[str, Any]]
    """Documents of the rows that are wrong, which are not among the problems."""
    ignored_in_vain: list[str]
    """Columns that were to be left out and that no row has."""


def add_mapping_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the columns of a file, and say what happens to wrong rows."""
    group = parser.add_argument_group(
        "columns",
        "A column inside a column is written with a dot (reward_model.ground_truth), two texts as "
        "one with a plus (Body+Question). Without these options the layouts of common data sets "
        "are known (verl, GSM8K, MATH, SVAMP, ...), and what was taken is said. All other columns "
        "become metadata.",
    )
    group.add_argument("--prompt-field", metavar="COLUMN", help="the question: a text or a list of messages")
    group.add_argument("--answer-field", metavar="COLUMN", help="the reference answer")
    group.add_argument(
        "--answer-pattern",
        type=_expression,
        metavar="REGEX",
        help="the answer is the first group of this expression's last match in its column (GSM8K: '#### (.*)')",
    )
    group.add_argument("--id-field", metavar="COLUMN", help="the id, if any (default: id)")
    group.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="COLUMN,...",
        help="columns to leave out; '*' stands for all that are not used otherwise",
    )
    group.add_argument(
        "--append",
        default="",
        metavar="TEXT",
        help="text to append to every prompt (of messages: to the last user's), e.g. how to write "
        r"the answer; \n is a new line",
    )
    group.add_argument(
        "--skip-too-long",
        action="store_true",
        help="leave out, and count, problems that do not fit the model's context",
    )
    group.add_argument(
        "--skip-wrong",
        action="store_true",
        help="leave out, and list, every row that is wrong, instead of refusing the file",
    )
    group.add_argument("--errors", action="store_true", help="list all rows that are wrong")


def mapping_words(arguments: argparse.Namespace) -> list[str]:
    """The options of :func:`add_mapping_options` that were given, as they are written."""
    names = (
        "prompt_field",
        "answer_field",
        "answer_pattern",
        "id_field",
        "ignore",
        "append",
        "skip_too_long",
        "skip_wrong",
        "errors",
    )
    return [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name)]


def columns_from(arguments: argparse.Namespace) -> ColumnOptions:
    """What a command was told about the file's columns."""
    ignored = {name.strip() for names in arguments.ignore for name in names.split(",")}
    return ColumnOptions(
        arguments.prompt_field,
        arguments.answer_field,
        arguments.answer_pattern,
        arguments.id_field,
        arguments.append.replace("\\n", "\n"),
        frozenset(ignored - {""}),
    )


def problems_from(arguments: argparse.Namespace) -> ProblemFile:
    """The problems of the command's file; says on stderr which columns were taken, and which rows
    are left out where that was asked for.

    Raises:
        CommandError: the file cannot be read, or rows in it are wrong; says where.
    """
    file: Path = arguments.file
    read = read_problems(file, columns_from(arguments))
    problems = read.problems
    if not read.layout.is_plain:
        print(f"{file}: {read.layout.told}{_others(problems)}", file=sys.stderr)
    for column in read.ignored_in_vain:
        print(f"{file}: --ignore {column}: no row has a value there", file=sys.stderr)
    if read.errors:
        skips = arguments.skip_wrong and bool(problems.problems)
        listed = told(problems.unit, read.errors, errors_shown(arguments), left_out=skips)
        if not skips:
            raise CommandError(f"{file}: {listed}")
        print(f"{file}: {listed}", file=sys.stderr)
    return problems


def errors_shown(arguments: argparse.Namespace) -> int | None:
    """How many wrong rows are listed; None is all."""
    return None if arguments.errors else ROWS_SHOWN


def read_problems(file: Path, options: ColumnOptions) -> ReadFile:
    """All problems of a file, and what is wrong with its other rows.

    Raises:
        CommandError: the file cannot be read.
    """
    try:
        rows = read_file(file)
        if not rows:
            raise DataFileError("holds no problems")
        layout = _layout(rows, options)
    except DataFileError as error:
        raise CommandError(f"{file}: {error}") from None
    numbers, problems, errors = _mapped(file, rows, layout, options)
    return ReadFile(
        ProblemFile(file, unit_of(file), numbers, problems),
        layout,
        [error.document() for error in errors],
        _ignored_in_vain(rows, options),
    )


def repeated_ids(problems: ProblemFile) -> list[dict[str, Any]]:
    """Errors of problems whose id an earlier one has: as prompts they would be taken for one."""
    first: dict[str, int] = {}
    errors = []
    for number, problem in zip(problems.numbers, problems.problems, strict=True):
        earlier = first.setdefault(problem["id"], number)
        if earlier != number:
            message = (
                f"{problem['id']!r} is also the id of {problems.unit} {earlier}; --ignore id "
                "gives each problem one of its own"
            )
            errors.append(RowError(number, "id", message).document())
    return errors


def _expression(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
    if pattern.groups < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has no group; put the answer in parentheses")
    return pattern


def _layout(rows: Sequence[NumberedRow], options: ColumnOptions) -> FileLayout:
    all_columns = [row for _, row in rows if isinstance(row, dict)]
    objects = [left_over(row, options.ignored) for row in all_columns]
    if not objects:  # every row is wrong, and will be told so
        return FileLayout("prompt", "answer", own=True)
    check_named(options.id_field, all_columns)
    has_pattern = options.answer_pattern is not None
    return layout_of(objects, options.prompt_field, options.answer_field, has_pattern)


def _ignored_in_vain(rows: Sequence[NumberedRow], options: ColumnOptions) -> list[str]:
    named = sorted(options.ignored - {EVERY_OTHER_COLUMN})
    return absent(named, [row for _, row in rows if isinstance(row, dict)])


def _mapped(
    file: Path, rows: Sequence[NumberedRow], layout: FileLayout, options: ColumnOptions
) -> tuple[list[int], list[dict[str, Any]], list[RowError]]:
    numbers, problems, errors = [], [], []
    for number, row in rows:
        try:
            problem = problem_of(number, row, layout, options)
        except RowError as error:
            errors.append(error)
            continue
        numbers.append(number)
        problems.append(_identified(file, number, problem))
    return numbers, problems, errors


def _identified(file: Path, number: int, problem: dict[str, Any]) -> dict[str, Any]:
    if "id" in problem:
        return problem
    content = json.dumps(problem, sort_keys=True).encode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", file.stem)[:80]
    return {"id": f"{name}-{number}-{hashlib.sha256(content).hexdigest()[:8]}", **problem}


def _others(problems: ProblemFile) -> str:
    kept = [problem.get("metadata", {}) for problem in problems.problems]
    names = ", ".join(dict.fromkeys(name for metadata in kept for name in metadata))
    if not names:
        return ""
    size = sum(len(json.dumps(metadata)) for metadata in kept) // max(len(kept), 1)
    hint = f" ({size} bytes a problem; --ignore leaves columns out)"
    return f", into metadata {names}{hint if size > LARGE_METADATA_BYTES else ''}"
