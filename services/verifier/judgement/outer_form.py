r"""The outer form of an answer: a value, list, tuple, set, interval, matrix or equation.

Invariants:
- only brackets, separators and relations are looked at; what is between them is left as text;
- separators and relations count at the top level alone, outside of all brackets;
- linear in the length of the text for every level, and the depth of levels is limited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

MAXIMUM_LEVELS = 6


class Kind(StrEnum):
    """What an answer is on the outside."""

    VALUE = "value"
    LIST = "list"
    """Several values without brackets; their order does not matter."""
    SEQUENCE = "sequence"
    """Several values in round or square brackets: a tuple, a vector or an interval."""
    SET = "set"
    UNION = "union"
    MATRIX = "matrix"
    """Its items are its rows."""
    EQUATION = "equation"
    """Sides joined by = or ≈."""
    INTERVAL = "interval"
    """An inequality of one variable, as ``(low, high)``."""


@dataclass(frozen=True, slots=True)
class Structure:
    """One answer taken apart."""

    kind: Kind
    text: str
    items: tuple[Structure, ...] = ()
    brackets: str = ""
    """Opening and closing bracket of a sequence or interval, such as ``(]``."""
    variable: str = ""
    """The unknown that ``x =``, ``x \\in`` or an inequality names."""
    exact: bool = field(default=True, compare=False)
    """False for an equation with ``\\approx``."""
    connective: str = field(default="", compare=False)
    """``and`` or ``or`` where it alone divides the items of a list."""


_AND = re.compile(
    r"\s*,?\s*(?:\\(?:text|textrm|mathrm|mbox|hbox)\s*\{\s*,?\s*(?:and|or)"
    r"(?:\s(?:approximately|about|roughly|simply|equivalently))?,?\s*\}"
    r"|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])|\\(?:lor|land|vee|wedge)(?![a-zA-Z]))\s*,?\s*"
)
_LOGIC_SIGN = re.compile(r"\\(?:lor|land|vee|wedge)(?![a-zA-Z])")
_CONJUNCTION = re.compile(r"and|\\wedge")
_LETTER = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]")
_CONDITION = re.compile(r"[<>=]|\\(?:leqslant|geqslant|leq?|geq?|lt|gt|neq?|in)(?![a-zA-Z])")
_OPENING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\langle": r"\rangle", r"\lbrace": "}"}
_BRACKET = re.compile(r"\\[lr]angle(?![a-zA-Z])|\\[{}]|[{}()\[\]]|\\begin\{[a-zA-Z*]+\}|\\end\{[a-zA-Z*]+\}")
_ENVIRONMENT = re.compile(
    r"\\begin\{([pbvBV]?matrix|smallmatrix|array|cases|aligned|align\*?|gathered)\}(?:\{[lcr|\s]*\})?(.*)\\end\{\1\}",
    re.DOTALL,
)
_LINES = frozenset({"cases", "aligned", "align", "align*", "gathered"})
"""Environments whose lines are a list."""
_RELATION = re.compile(
    r"\\(?:leqslant|geqslant|leq?|geq?|lt|gt|neq?|approx|equiv|sim|in|notin|subset|to|mapsto)"
    r"(?![a-zA-Z])|<=|>=|!=|:=|[<>=]"
)
_LESS, _LESS_EQUAL = {"<", r"\lt"}, {"<=", r"\le", r"\leq", r"\leqslant"}
_MORE, _MORE_EQUAL = {">", r"\gt"}, {">=", r"\ge", r"\geq", r"\geqslant"}
_QUALIFIED = re.compile(r"\\(?:forall|n?exists|not|neg|lnot|mid)(?![a-zA-Z])|:|^[^|]*\|[^|]*$")
"""Before ``\\in``: more than what belongs to the set."""
_OF_FIGURES = frozenset({r"\sim", r"\equiv", r"\approx"})
"""Similar, congruent or the like, where no side holds a digit."""
_EQUAL, _NEARLY = {"=", ":=", r"\equiv"}, {r"\approx", r"\sim"}
_GROUPED_NUMBER = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_REALS = re.compile(r"\\mathbb\s?(?:\{R\}|R)(.{0,12})", re.DOTALL)
_SUFFIX_LAYOUT = re.compile(r"[\s_^{}]")
_OF_REALS = {
    "": r"(-\infty,\infty)",
    "+": r"(0,\infty)",
    ">0": r"(0,\infty)",
    r"\ge0": r"[0,\infty)",
    r"\geq0": r"[0,\infty)",
    "-": r"(-\infty,0)",
    "<0": r"(-\infty,0)",
}
_LEFT, _RIGHT = {"[": "[", "]": "("}, {"]": "]", "[": ")"}
_OUTWARD = re.compile(r"([\[\]])([^\[\]()]*,[^\[\]()]*)([\[\]])")
_BUILDER = re.compile(r"\s*([a-zA-Z])\s*(?:\\in\s*\\mathbb\s?\{?[A-Z]\}?\s*)?(?::|\||\\mid(?![a-zA-Z]))(.+)", re.DOTALL)
_VARIABLE = re.compile(r"(?:\\[a-zA-Z]+|[a-zA-Z])'?\s?(?:_\s?(?:\{[^{}]*\}|\w))?\s?(?:\(\s?[a-z]\s?\))?")
_TEXT_NAME = re.compile(r"\\(?:text|mathrm|mathit|textit)\s*\{\s*([a-zA-Z][a-zA-Z ]*)\}")
_PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])")
_UNION = re.compile(r"\\cup(?![a-zA-Z])|(?<=[\])}])\s*U\s*(?=[\[(\\{])")


def _opens(bracket: str) -> bool:
    return bracket[-1] in "({[" or bracket.startswith((r"\begin", r"\langle"))


def take_apart(text: str, level: int = 0) -> Structure:
    """The structure of a cleaned answer."""
    text = text.strip()
    if level > MAXIMUM_LEVELS or not text:
        return Structure(Kind.VALUE, text)
    written = text
    if level == 0:
        text = _AND.sub(lambda match: _separator(match, text), text).strip()
        text = _inward(text) if text.startswith("]") or text.endswith("[") else text
    if _GROUPED_NUMBER.fullmatch(text):
        return Structure(Kind.VALUE, text.replace(",", ""))
    for reader in _READERS:
        found = reader(text, level)
        if found is not None:
            joined = level == 0 and found.kind is Kind.LIST and text != written
            return replace(found, connective=_connective(written)) if joined else found
    return Structure(Kind.VALUE, text)


def _connective(text: str) -> str:
    """``and`` or ``or``, if it alone joins the items of ``text``."""
    found = {bool(_CONJUNCTION.search(match[0])) for match in _AND.finditer(text)}
    return "" if len(found) != 1 else ("and" if found.pop() else "or")


def split(text: str, separators: str) -> list[str]:
    """``text`` divided at the single-character ``separators`` outside of brackets."""
    parts, start = [], 0
    for position in _outside(text):
        if text[position] in separators:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]


def _separator(match: re.Match[str], text: str) -> str:
    """A comma for what joins answers; signs between letters alone are operators of logic."""
    logic = _LOGIC_SIGN.search(match[0]) and _LETTER.search(text)
    if logic and not _CONDITION.search(text):
        return match[0]
    before, after = text[: match.start()], text[match.end() :]
    return ", " if before.strip() and after.strip() else match[0]


def _outside(text: str) -> list[int]:
    """Positions outside of all brackets; ``[0,1)`` closes what ``[`` opened."""
    positions: list[int] = []
    depth = start = 0
    for match in _BRACKET.finditer(text):
        if depth == 0:
            positions += range(start, match.start())
        depth = depth + 1 if _opens(match[0]) else max(0, depth - 1)
        start = match.end()
    return positions if depth else [*positions, *range(start, len(text))]


def _inward(text: str) -> str:
    """``]0,1]`` as ``(0,1]``."""
    return _OUTWARD.sub(lambda match: f"{_LEFT[match[1]]}{match[2]}{_RIGHT[match[3]]}", text)


def _reals(text: str, level: int) -> Structure | None:
    """All, the positive or the negative real numbers."""
    match = _REALS.fullmatch(text) if text.startswith(r"\mathbb") else None
    interval = match and _OF_REALS.get(_SUFFIX_LAYOUT.sub("", match[1]))
    return take_apart(interval, level + 1) if interval else None


def _built(text: str, level: int) -> Structure | None:
    r"""``\{x : x > 4\}`` as its condition."""
    if not text.startswith(r"\{") or not _one_pair(text, r"\{", r"\}"):
        return None
    match = _BUILDER.fullmatch(text[2:-2])
    condition = take_apart(match[2], level + 1) if match else None
    if match is None or condition is None:
        return None
    named = condition.kind in (Kind.INTERVAL, Kind.LIST) and match[1] in condition.text
    return condition if named else None


def _environment(text: str, level: int) -> Structure | None:
    match = _ENVIRONMENT.fullmatch(text)
    if match is None or r"\begin" in match[2]:
        return None
    rows = [row.strip() for row in re.split(r"\\\\(?:\[[^\]]*\])?", match[2])]
    rows = [row.removeprefix(r"\hline").strip() for row in rows]
    cells = [row.split("&") for row in rows if row]
    if match[1] in _LINES:
        items = tuple(take_apart("".join(row).rstrip(","), level + 1) for row in cells)
        return Structure(Kind.LIST, text, items)
    if any(len(row) != len(cells[0]) for row in cells) or not cells:
        return None
    if match[1] in ("vmatrix", "Vmatrix"):
        return None
    items = tuple(
        Structure(Kind.SEQUENCE, "&".join(row), tuple(take_apart(cell, level + 1) for cell in row)) for row in cells
    )
    return Structure(Kind.MATRIX, text, items)


def _several(text: str, level: int) -> Structure | None:
    for separators in ";", ",":
        parts = [part for part in split(text, separators) if part]
        if len(parts) > 1:
            items = [item for part in parts for item in _flat(take_apart(part, level + 1))]
            return Structure(Kind.LIST, text, tuple(items))
    return None


def _flat(structure: Structure) -> tuple[Structure, ...]:
    """The items of a list inside a list, else the structure itself."""
    return structure.items if structure.kind is Kind.LIST else (structure,)


def _related(text: str, level: int) -> Structure | None:
    sides, relations = _sides(text)
    if not relations or not all(sides):
        return None
    if not _OF_FIGURES.isdisjoint(relations) and not any(map(str.isdigit, text)):
        return None
    if relations == [r"\in"] and _QUALIFIED.search(sides[0]):
        return None
    if relations == [r"\in"]:
        inner = take_apart(sides[1], level + 1)
        return Structure(inner.kind, inner.text, inner.items, inner.brackets, _compact(sides[0]))
    if set(relations) <= _EQUAL | _NEARLY:
        items = tuple(take_apart(side, level + 1) for side in sides)
        return Structure(Kind.EQUATION, text, items, exact=not set(relations) & _NEARLY)
    return _inequality(text, sides, relations, level)


def _sides(text: str) -> tuple[list[str], list[str]]:
    outside = set(_outside(text))
    matches = [match for match in _RELATION.finditer(text) if match.start() in outside]
    ends = [0, *(match.end() for match in matches)]
    starts = [*(match.start() for match in matches), len(text)]
    return [text[a:b].strip() for a, b in zip(ends, starts, strict=True)], [m[0] for m in matches]


def _inequality(text: str, sides: list[str], relations: list[str], level: int) -> Structure | None:
    less = all(relation in _LESS | _LESS_EQUAL for relation in relations)
    more = all(relation in _MORE | _MORE_EQUAL for relation in relations)
    if not (less or more) or len(sides) > 3:
        return None
    if more:
        sides, relations = sides[::-1], relations[::-1]
    closed = [relation in _LESS_EQUAL | _MORE_EQUAL for relation in relations]
    if len(sides) == 2:
        if is_name(sides[0]):
            sides, closed = [r"-\infty", *sides], [False, *closed]
        elif is_name(sides[1]):
            sides, closed = [*sides, r"\infty"], [*closed, False]
    if len(sides) != 3 or not is_name(sides[1]):
        return None
    items = take_apart(sides[0], level + 1), take_apart(sides[2], level + 1)
    brackets = ("[" if closed[0] else "(") + ("]" if closed[1] else ")")
    return Structure(Kind.INTERVAL, text, items, brackets, _compact(sides[1]))


def _united(text: str, level: int) -> Structure | None:
    outside = set(_outside(text))
    cuts = [match for match in _UNION.finditer(text) if match.start() in outside]
    if not cuts:
        return None
    ends = [0, *(match.end() for match in cuts)]
    starts = [*(match.start() for match in cuts), len(text)]
    parts = [text[a:b] for a, b in zip(ends, starts, strict=True)]
    return Structure(Kind.UNION, text, tuple(take_apart(part, level + 1) for part in parts))


def _bracketed(text: str, level: int) -> Structure | None:
    opening = next((one for one in _OPENING if text.startswith(one)), None)
    closing = next((one for one in _OPENING.values() if text.endswith(one)), None)
    if opening is None or closing is None or len(text) < len(opening) + len(closing):
        return None
    if text.endswith(r"\}"):
        closing = r"\}"
    inner = text[len(opening) : len(text) - len(closing)].strip()
    if not _one_pair(text, opening, closing):
        return None
    curly = opening in ("{", r"\{", r"\lbrace")
    if curly != (closing in ("}", r"\}")):
        return None
    parts = split(inner, ";" if ";" in inner and not curly else ",")
    if any(not part for part in parts):
        return None
    if len(parts) == 1 and opening == r"\langle":
        return None
    if len(parts) == 1 and not (curly and opening != "{"):
        return take_apart(inner, level + 1)
    items = tuple(take_apart(part, level + 1) for part in parts)
    if curly:
        items = tuple(item for part in items for item in _flat(part))
        return Structure(Kind.SET, text, items)
    brackets = {r"\langle": "("}.get(opening, opening) + {r"\rangle": ")"}.get(closing, closing)
    return Structure(Kind.SEQUENCE, text, items, brackets)


def _one_pair(text: str, opening: str, closing: str) -> bool:
    """Whether the bracket that opens ``text`` is closed by the one at its end."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if _opens(match[0]) else -1
        if depth == 0 and match.end() < len(text):
            return False
    return depth == 0


def _signed_tuple(text: str, level: int) -> Structure | None:
    r"""``(\pm 1, 0)`` as the list of two tuples."""
    if not text.startswith("(") or r"\pm" not in text or len(split(text[1:-1], ",")) < 2:
        return None
    return _both_signs(text, level) if _one_pair(text, "(", ")") else None


def _both_signs(text: str, level: int) -> Structure | None:
    if len(_PLUS_MINUS.findall(text)) != 1:
        return None
    items = tuple(take_apart(_PLUS_MINUS.sub(sign, text), level + 1) for sign in "+-")
    return Structure(Kind.LIST, text, items)


def is_name(text: str) -> bool:
    """Whether ``text`` is the name of an unknown, such as ``x``, ``a_n`` or ``f(x)``."""
    return bool(_VARIABLE.fullmatch(text.strip())) and text.strip() not in ("e", "i", r"\pi")


def _compact(name: str) -> str:
    return name.replace(" ", "")


_READERS = (_reals, _environment, _several, _related, _united, _built, _signed_tuple, _bracketed, _both_signs)
