r"""Finding the answer in a response.

Invariants:
- only text after the last ``</think>`` counts, and a response still inside ``<think>`` has no
  answer;
- the first rule that finds something decides; with the rule ``boxed`` alone, nothing outside a box
  is ever read as an answer;
- every pattern is matched in linear time and only the tail of a huge response is read, so
  extraction is safe outside a worker process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

MAXIMUM_RESPONSE_CHARACTERS = 200_000
"""Only this much of a response's end is searched."""
MAXIMUM_PHRASE_CHARACTERS = 300
"""Longest answer read after a phrase such as "the answer is"."""

_BRACE_OR_BOX = re.compile(r"\\f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)
_SPECIAL_BOX = re.compile(r"<\|begin_of_box\|>([^<]*)<\|end_of_box\|>")
_BETWEEN_BOXES = re.compile(
    r"(?:[\s,;$.]|\\[()\[\],;:! ]|\\q?quad|and|or|\\text\s*\{\s*,?\s*(?:and|or)\s*\}){0,40}"
)
_PHRASE = re.compile(r"answer[\s*]{0,5}(?:is|:|=)[\s*:]{0,5}", re.IGNORECASE)
_HASHES = re.compile(r"####\s*([^\n]*)")
_DELIMITER = re.compile(r"\$\$|\$|\\[()\[\]]|\\.|\n", re.DOTALL)
_CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
_COMMAND = re.compile(r"\\[a-zA-Z]+(?:\{[a-zA-Z ]*\})?")
_CODE = re.compile(r"[a-zA-Z_]{2,}\(|__|[\[\];]|==")
_WORDS = re.compile(r"[^\W\d_]{3,}")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")


def extract(response: str, rules: Sequence[str] = ("boxed",)) -> str | None:
    """The answer that the first matching rule finds, or None.

    Args:
        response: what the model wrote.
        rules: names in :data:`RULES`, tried in order.

    Raises:
        KeyError: a rule is not in :data:`RULES`.
    """
    text = after_thinking(response[-MAXIMUM_RESPONSE_CHARACTERS:])
    if text is None:
        return None
    for rule in rules:
        answer = RULES[rule](text)
        if answer is not None and answer.strip():
            return answer.strip()
    return None


def after_thinking(text: str) -> str | None:
    """What follows the last ``</think>``; None while the thinking has not ended."""
    _, closed, rest = text.rpartition("</think>")
    if not closed and "<think>" in text:
        return None
    return rest


def boxed(text: str) -> str | None:
    r"""Content of the last box with balanced braces.

    Boxes that only separators divide (``\boxed{2}, \boxed{3}``) are one answer, joined by commas,
    so that boxing every candidate does not earn credit.
    """
    boxes = [(match.start(), match.end(), match[1]) for match in _SPECIAL_BOX.finditer(text)]
    boxes = _braced_boxes(text) or boxes
    if not boxes:
        return None
    start, _, content = boxes[-1]
    contents = [content]
    for earlier_start, earlier_end, earlier in reversed(boxes[:-1]):
        if not _BETWEEN_BOXES.fullmatch(text, earlier_end, start):
            break
        contents.append(earlier)
        start = earlier_start
    return ", ".join(dict.fromkeys(reversed(contents)))


def _braced_boxes(text: str) -> list[tuple[int, int, str]]:
    """(start, end, content) of every outermost box whose braces balance, in order."""
    found: list[tuple[int, int, str]] = []
    open_braces: list[tuple[int, int] | None] = []
    for match in _BRACE_OR_BOX.finditer(text):
        piece = match[0]
        if piece == "{":
            open_braces.append(None)
        elif "box" in piece:
            open_braces.append(match.span())
        elif piece == "}" and open_braces:
            opened = open_braces.pop()
            if opened is not None:
                while found and found[-1][0] > opened[0]:
                    found.pop()  # it lies inside the box that ends here
                found.append((opened[0], match.end(), text[opened[1] : match.start()]))
    return found


def answer_phrase(text: str) -> str | None:
    """What follows the last "answer is" or "answer:", up to the end of the sentence."""
    ends = [match.end() for match in _PHRASE.finditer(text)]
    if not ends:
        return None
    rest = text[ends[-1] : ends[-1] + MAXIMUM_PHRASE_CHARACTERS].partition("\n")[0]
    return stated(_SENTENCE_END.split(rest, maxsplit=1)[0].strip("* "))


def stated(text: str) -> str:
    """The answer that a sentence states: its last formula or number; all of a text that is none."""
    prose = _COMMAND.sub(" ", text)
    if len(_WORDS.findall(prose)) < 2 or _CODE.search(prose):
        return text
    return last_mathematics(text) or last_number(text) or text


def hashes(text: str) -> str | None:
    """What follows the last ``####`` (the form of GSM8K)."""
    matches = _HASHES.findall(text)
    return matches[-1] if matches else None


def last_mathematics(text: str) -> str | None:
    """The last formula between dollar signs or LaTeX delimiters."""
    formulas = _formulas(text)
    return formulas[-1][1] if formulas else None


def last_number(text: str) -> str | None:
    """The last number anywhere: gives credit for lucky numbers, so never a default."""
    numbers = _NUMBER.findall(text)
    return numbers[-1].rstrip(",") if numbers else None


def last_value(text: str) -> str | None:
    """The last formula, or a number after it: as generous as :func:`last_number`."""
    formulas = _formulas(text)
    if not formulas:
        return last_number(text)
    start, content = formulas[-1]
    return last_number(text[start + len(content) + 2 :]) or content


def _formulas(text: str) -> list[tuple[int, str]]:
    """(start, content) of every delimited formula, in one pass; ``$`` closes on its own line."""
    found: list[tuple[int, str]] = []
    opened: re.Match[str] | None = None
    for match in _DELIMITER.finditer(text):
        if opened is not None and match[0] == _CLOSING[opened[0]]:
            found.append((opened.start(), text[opened.end() : match.start()]))
            opened = None
        elif match[0] == "\n":
            opened = None if opened is not None and opened[0] == "$" else opened
        elif opened is None and match[0] in _CLOSING:
            opened = match
    return found


RULES: dict[str, Callable[[str], str | None]] = {
    "boxed": boxed,
    "hashes": hashes,
    "answer_phrase": answer_phrase,
    "last_mathematics": last_mathematics,
    "last_number": last_number,
    "last_value": last_value,
    "stated": stated,
}
