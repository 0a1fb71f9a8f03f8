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

from services.verifier.judgement.denial import is_denied

MAXIMUM_RESPONSE_CHARACTERS = 200_000
"""Only this much of a response's end is searched."""
MAXIMUM_PHRASE_CHARACTERS = 300
_AFTER_FORMULA = 12
"""Longest answer read after a phrase such as "the answer is"."""

_BRACE_OR_BOX = re.compile(r"\\{1,4}f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)
_SPECIAL_BOX = re.compile(r"<\|begin_of_box\|>([^<]*)<\|end_of_box\|>")
_BETWEEN_BOXES = re.compile(r"(?:[\s,;$.]|\\[()\[\],;:! ]|\\q?quad|and|or|\\text\s*\{\s*,?\s*(?:and|or)\s*\}){0,40}")
_NOTHING = re.compile(
    r"(?:[\s${}~.]|\\[,;:! ]|\\(?:q?quad|[lc]?dots)(?![a-zA-Z])"
    r"|\\(?:text|mathrm|mbox)(?=\s*\{))*+"
)
"""Content of a box that is left blank, or a placeholder of dots."""
_SAME_SENTENCE = re.compile(r"[^.!?\n]{0,80}")
_ANSWER_WORDS = (
    "answer",
    "(?:correct|right) (?:option|choice)",
    "答案",
    "答え",
    "답",
    "réponse",
    "respuesta",
    "resposta",
    "risposta",
    "antwort",
    "ответ",
    "الإجابة",
    "الجواب",
    "उत्तर",
    "cevap",
    "jawaban",
)
_IS_WORDS = ("is", "est", "es", "é", "è", "ist", "lautet", "是", "为", "為", "は", "은", "는", "هي", "هو")
_PHRASE = re.compile(
    rf"(?:{'|'.join(_ANSWER_WORDS)})[\s*]{{0,5}}"
    rf"(?:(?:{'|'.join(_IS_WORDS)})(?![a-zA-Z])|[:：=])[\s*:：]{{0,5}}"
    r"(?:(?:clearly|simply|therefore|thus|indeed|definitely|exactly|just|now)\s)?",
    re.IGNORECASE,
)
_HASHES = re.compile(r"####\s*([^\n]*)")
_DELIMITER = re.compile(r"\$\$|\$|\\[()\[\]]|\\.|\n", re.DOTALL)
_CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.])[-+−]?(?:\d[\d,]*(?:\.\d+)?(?:/\d+)?%?"
    r"(?:\s(?:hundred|thousand|million|billion|trillion|dozen)(?![a-z]))?|[½⅓⅔¼¾⅕⅙⅛])"
)
_FORMULA_RUN = re.compile(
    r"(?:\\[a-zA-Z]+|(?<![a-zA-Z])(?:ln|log|sin|cos|tan|sqrt|pi)(?![a-zA-Z])"
    r"|[\d.,+\-−–*/^_(){}!%√π·×÷½⅓¼¾\u2009\u202f ])+"
)
_LETTER_FORMULA = re.compile(
    r"(?:\\[a-zA-Z]+|(?<![a-zA-Z])(?:ln|log|sin|cos|tan|sqrt|pi|[a-zA-Z])(?![a-zA-Z])"
    r"|[\d.+\-−–*/^_(){}!√π·×½²³⁴ ])+"
)
_SYMBOL = frozenset("\\√π")
_VARIABLE = re.compile(r"(?<![a-zA-Z])[b-zB-Z](?![a-zA-Z])")
_MATHEMATICAL_NAMES = """
    sin cos tan cot sec csc log exp sqrt frac arcsin arccos arctan sinh cosh tanh and
"""
_MATHEMATICAL_WORDS = frozenset(_MATHEMATICAL_NAMES.split())
_FOREIGN_WORD = re.compile(r"[^\W\d_a-zA-Z\u0370-\u03ff]{2,}")
_LABEL = re.compile(r"\W*[^\W\d_]{2,}\s*[:：=]")
_COMMAND = re.compile(r"\\[a-zA-Z]+(?:\{[a-zA-Z ]*\})?")
_CODE = re.compile(r"[a-zA-Z_]{2}\(|(?<![a-zA-Z\\])lambda(?=[\s:])|\)\(\)|__|[\[\];]|==")
_PROGRAM = re.compile(r"[a-zA-Z_]{2}\(\s*['\"]|__[a-z]+__")
_WORDS = re.compile(r"[^\W\d_]{3,}")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|。")


def extract(response: str, rules: Sequence[str] = ("boxed",), parts: int = 1) -> str | None:
    """The answer that the first matching rule finds, or None.

    Args:
        response: what the model wrote.
        rules: names in :data:`RULES`, tried in order.
        parts: how many parts the reference has (see :func:`boxed`).

    Raises:
        KeyError: a rule is not in :data:`RULES`.
    """
    text = after_thinking(_without_comments(response[-MAXIMUM_RESPONSE_CHARACTERS:]))
    if text is None:
        return None
    for rule in rules:
        answer = boxed(text, parts) if rule == "boxed" else RULES[rule](text)
        if answer is not None and answer.strip():
            return answer.strip()
    return None


def _without_comments(text: str) -> str:
    """``text`` as a page would show it: without ``<!-- comments -->``."""
    if "<!--" not in text:
        return text
    first, *others = text.split("<!--")
    pieces = (piece.partition("-->") for piece in others)
    return first + "".join(rest if end else f"<!--{hidden}" for hidden, end, rest in pieces)


def after_thinking(text: str) -> str | None:
    """What follows the last ``</think>``; None while the thinking has not ended."""
    _, closed, rest = text.rpartition("</think>")
    if not closed and "<think>" in text:
        return None
    return rest


def boxed(text: str, parts: int = 1) -> str | None:
    r"""Content of the last box that is not empty, with balanced braces.

    Boxes that only separators divide (``\boxed{2}, \boxed{3}``) are one answer, joined by commas,
    so that boxing every candidate does not earn credit. A box that the text denies (``not
    \boxed{7}``) is none. Where an answer of ``parts`` parts is
    expected and the last box holds one, the last ``parts`` boxes are the answer.
    """
    boxes = _filled(_boxes(text))
    while boxes and is_denied(text, *boxes[-1][:2]):
        boxes.pop()
    if not boxes:
        return None
    contents = _joined(text, boxes, _BETWEEN_BOXES)
    if len(contents) == 1 and 1 < parts <= len(boxes) and "," not in _outside(contents[0]):
        contents = [content for _, _, content in boxes[-parts:]]
    return ", ".join(dict.fromkeys(contents))


def boxed_reference(text: str) -> str | None:
    """The boxed answer of a reference: all boxes of the sentence that ends with the last one."""
    boxes = _filled(_boxes(text))
    return ", ".join(dict.fromkeys(_joined(text, boxes, _SAME_SENTENCE))) if boxes else None


def _boxes(text: str) -> list[tuple[int, int, str]]:
    special = [(match.start(), match.end(), match[1]) for match in _SPECIAL_BOX.finditer(text)]
    return _braced_boxes(text) or special


def _filled(boxes: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The boxes that are not empty; where all are, the last one."""
    filled = [box for box in boxes if not _NOTHING.fullmatch(box[2])]
    return filled or boxes[-1:]


def _joined(text: str, boxes: list[tuple[int, int, str]], between: re.Pattern[str]) -> list[str]:
    """Contents of the last boxes that nothing but ``between`` divides, in order."""
    start, _, content = boxes[-1]
    contents = [content]
    for earlier_start, earlier_end, earlier in reversed(boxes[:-1]):
        if not between.fullmatch(text, earlier_end, start):
            break
        contents.append(earlier)
        start = earlier_start
    return contents[::-1]


def _outside(text: str) -> str:
    """``text`` without what is in brackets."""
    depth, kept = 0, []
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        if depth == 0:
            kept.append(character)
    return "".join(kept)


def _braced_boxes(text: str) -> list[tuple[int, int, str]]:
    """(start, end, content) of every outermost box whose braces balance, in order."""
    found: list[tuple[int, int, int]] = []
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
                found.append((*opened, match.end()))
    # Contents are cut out once at the end: 10^5 nested boxes must not be copied 10^5 times.
    return [(start, end, text[inside : end - 1]) for start, inside, end in found]


def answer_phrase(text: str) -> str | None:
    """What follows the last "answer is" or "answer:", up to the end of the sentence; with these
    words where they are denied ("the wrong answer is").
    """
    phrases = list(_PHRASE.finditer(text))
    if not phrases:
        return None
    last = phrases[-1]
    rest = text[last.end() : last.end() + MAXIMUM_PHRASE_CHARACTERS].partition("\n")[0]
    sentence = _SENTENCE_END.split(rest, maxsplit=1)[0]
    if is_denied(text, last.start(), last.start()):
        line = text.rfind("\n", 0, last.start()) + 1
        return text[max(line, last.start() - MAXIMUM_PHRASE_CHARACTERS) : last.end()] + sentence
    return stated(sentence.strip("* "))


def stated(text: str) -> str:
    """The answer that a sentence states: its last formula or number; all of a text that is none."""
    if not _is_prose(_COMMAND.sub(" ", text)):
        return text
    return last_value(text) or text


def _is_prose(text: str) -> bool:
    words = [word for word in _WORDS.findall(text) if word.lower() not in _MATHEMATICAL_WORDS]
    if _CODE.search(text):
        return False
    return len(words) >= 2 or bool(_LABEL.match(text) or _FOREIGN_WORD.search(text))


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


def last_expression(text: str) -> str | None:
    """The last number, or the formula without delimiters that it is the end of.

    Such a formula has a LaTeX command in it, or it follows an equals sign. A line of a program
    states no answer.
    """
    numbers = list(_NUMBER.finditer(text))
    if not numbers:
        return None
    last = numbers[-1]
    line_start = text.rfind("\n", 0, last.start()) + 1
    line_end = text.find("\n", last.end())
    line = text[line_start : line_end if line_end >= 0 else len(text)][-MAXIMUM_PHRASE_CHARACTERS:]
    if _PROGRAM.search(line):
        return None
    tail = line.rpartition("=")[2].strip(" .,\u2009\u202f")
    if "=" in line and last[0] in tail and _is_formula_with_letters(tail):
        return tail
    for run in _FORMULA_RUN.finditer(line):
        expression = run[0].strip(" .,\u2009\u202f")
        follows = line[: run.start()].endswith("=")
        ends_line = run.end() >= len(line.rstrip()) - _AFTER_FORMULA
        if ends_line and expression != last[0] and _is_formula(expression, follows):
            return expression
    return last[0].rstrip(",")


def _is_formula_with_letters(expression: str) -> bool:
    """Whether it has a variable, and single letters and names of functions as its only words."""
    formula = bool(_LETTER_FORMULA.fullmatch(expression)) and bool(_VARIABLE.search(expression))
    return formula and all(expression.count(a) == expression.count(b) for a, b in ("()", "{}"))


def _is_formula(expression: str, follows_equals: bool) -> bool:
    balanced = all(expression.count(a) == expression.count(b) for a, b in ("()", "{}"))
    return balanced and any(map(str.isdigit, expression)) and (follows_equals or not _SYMBOL.isdisjoint(expression))


def last_value(text: str) -> str | None:
    """The last formula, or a number after it: as generous as :func:`last_number`; None where the
    text denies it.
    """
    formulas = _formulas(text)
    if not formulas:
        value = last_expression(text)
    else:
        start, content = formulas[-1]
        value = last_number(text[start + len(content) + 2 :]) or content
    place = text.rfind(value) if value else -1
    return None if place >= 0 and is_denied(text, place, place + len(value or "")) else value


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
