r"""Answers that were transcribed into a matrix of one column, cell by cell.

Models that write LaTeX for a form field put every token into a cell of its own
(``1 \\ - \\ \frac{ \\ 2 \\ }{ ...``). Such a column is layout, not a vector.

Rules:
- a column is transcribed when a cell is no complete expression (an operator, a separator, half a
  group); empty cells and blank text are layout in any column;
- its cells are joined to one line; words before the formula are dropped;
- in a column with brackets a number or fraction directly after a complete number or fraction begins
  the next entry (nobody writes the product of two numbers without a sign), an operator never does.

Invariant: a column whose cells are all complete expressions is left alone, unless names and values
alternate in it or all but one cell are blank.
"""

from __future__ import annotations

import re

_COLUMN = re.compile(r"\\begin\{([pbvV]?matrix|array)\}(?:\{[lcr]\})?([^&]*?)\\end\{\1\}")
_BARE_OPERATOR = re.compile(
    r"[-+*/=^_,;()!]"
    r"|\\(?:times|cdot|sqrt|[dt]?frac|ln|log|sin|cos|tan|arc(?:sin|cos|tan)|left|right|pm|in)"
    r"\s*[\[{(]?"
)
_BLANK = re.compile(r"(?:\\[,;:! ]|\\q?quad|\\(?:text|mathrm|mbox)\s*\{\s*\}|\s)*")
_WORD = re.compile(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}")
_NUMBER_BEGINS = re.compile(r"\d|\\[dt]?frac(?![a-zA-Z])")
_NUMBER_ENDS = re.compile(r".*[\d}]", re.DOTALL)
_NO_DENOMINATOR = re.compile(r"\\[dt]?frac\s*(\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})\s*/")
_NAME = re.compile(r"[a-zA-Z]")
_THIN = re.compile(r"\\[,;:! ]")
_EMPTY_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*\}")
_EMPTY_EXPONENT = re.compile(r"\^\s*\{\s*\}\s*(\w+)")
_IS = re.compile(r"\\text\s*\{\s*(?:is|equals)\s*\}")
_DIGITS = re.compile(r"\d")
_BRACKETED = frozenset({"pmatrix", "bmatrix"})


def join_column(text: str) -> str:
    """``text`` with a transcribed column on one line; any other text unchanged."""
    match = _COLUMN.search(text)
    if match is None:
        return text
    cells = [cell.strip() for cell in match[2].split(r"\\")]
    filled = [cell for cell in cells if not _BLANK.fullmatch(cell)]
    if len(filled) == 1 < len(cells):
        return "".join((text[: match.start()], filled[0], text[match.end() :]))
    if _alternates(filled):
        pairs = zip(filled[::2], filled[1::2], strict=True)
        return ", ".join(f"{name} = {value}" for name, value in pairs)
    if not any(_is_fragment(cell) for cell in cells):
        return text
    if match[1] in _BRACKETED:
        filled = _divided(filled)
    line = " ".join(_grouped(_without_words(filled)))
    return _mended(f"{text[: match.start()]} {line} {text[match.end() :]}")


def digits_of_column(text: str) -> str | None:
    """The number that a column of single digits spells, else None."""
    match = _COLUMN.fullmatch(text.strip())
    cells = [cell.strip() for cell in match[2].split(r"\\")] if match else []
    spelled = len(cells) > 1 and all(_DIGITS.fullmatch(cell) for cell in cells)
    return "".join(cells) if spelled else None


def _without_words(cells: list[str]) -> list[str]:
    """The cells without words before the formula; all of them where words say more than that."""
    if any(cell == "=" or _IS.fullmatch(cell) for cell in cells):
        return cells
    first = next((k for k, cell in enumerate(cells) if not _WORD.fullmatch(cell)), 0)
    return cells[first:]


def _divided(cells: list[str]) -> list[str]:
    """The cells with a comma where the next entry of the vector begins."""
    divided: list[str] = []
    depth = 0
    for cell in cells:
        if depth == 0 and divided and _begins_entry(divided[-1], cell):
            divided.append(",")
        depth += cell.count("{") - cell.count("}")
        divided.append(cell)
    return divided


def _begins_entry(before: str, cell: str) -> bool:
    complete = bool(_NUMBER_ENDS.fullmatch(before)) and before[:1] not in "^_"
    return complete and bool(_NUMBER_BEGINS.match(cell))


def _is_fragment(cell: str) -> bool:
    unbalanced = cell.count("{") != cell.count("}")
    return unbalanced or cell[:1] in ("^", "_") or bool(_BARE_OPERATOR.fullmatch(cell))


def _alternates(cells: list[str]) -> bool:
    """Whether names and values take turns: ``a \\\\ 13 \\\\ b \\\\ 14``."""
    names, values = cells[::2], cells[1::2]
    return (
        len(names) == len(values) > 1
        and len(set(names)) == len(names)
        and all(_NAME.fullmatch(name) for name in names)
        and not any(_NAME.fullmatch(value) or _is_fragment(value) for value in values)
    )


def _grouped(cells: list[str]) -> list[str]:
    """A number after a closing brace is one group: a denominator, not its first digit."""
    pairs = zip(["", *cells], cells, strict=False)
    return [f"{{{cell}}}" if before == "}" and cell.isdigit() else cell for before, cell in pairs]


def _mended(line: str) -> str:
    """The joined line without the empty groups that the transcription leaves behind."""
    line = _IS.sub("=", _THIN.sub(" ", line))
    line = _NO_DENOMINATOR.sub(r"\1/", line)
    return _EMPTY_EXPONENT.sub(r"^{\1}", _EMPTY_FRACTION.sub(" ", line))
