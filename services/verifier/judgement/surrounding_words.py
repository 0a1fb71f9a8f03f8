r"""Units and remarks in words after an answer, which may be left out, and those that may not.

``18 \text{ (in total)}`` is 18 and ``5 \text{ cm}^2`` is 5, but ``5 \text{ million}``,
``5 \text{ or more}``, ``5\text{8}``, ``5 \text{ oder 8}``, ``5 \text{ is impossible}`` are not 5.

Invariants:
- only text at the very end is left out, and only if every word of it is known to say nothing else
  (:func:`services.verifier.judgement.counted_words.is_counted`); digits and operators are never left out;
- a reference is trusted: any words at its end are left out that do not change what is before them;
- "or" or "about" with a number, ``\frac52 \text{ (or } 2.5)``, makes a list: both must be the
  reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from services.verifier.judgement.counted_words import CHANGING_WORDS, is_counted, may_be_counted
from services.verifier.judgement.times_of_day import is_time

_UNIT_TEXT = re.compile(
    r"(?:(?<=[\d}%)])|(?<=\\pi))[\s-]*\\(?:text(?:bf|it|rm)?|mathrm|mbox|hbox)\s*\{[^{}]*\}"
    r"(?:\s*\^\s*(?:\d|\{-?\d\}))?\s*$"
)
_WORDS_AT_END = re.compile(r"(?<=[\d})])\s[a-zA-Z]{2,}(?:[ -][a-zA-Z]+){0,7}$")
_REMARK = re.compile(r"\\text\s*\{\s*\((?:[^{}]|\{[^{}]*\})*\}[^{}]*(?:\\text\s*\{[^{}]*\)\s*\})?\s*$")
_PLAIN_REMARK = re.compile(r"(?<=[\d})])\s\((?!mod|base|in base|the base)[a-zA-Z]{2}[a-zA-Z0-9 ,'.-]*\)$")
_DEGREES = re.compile(r"\^\s*(?:\\circ|\{\s*\\circ\s*\})\s*(?:\\(?:text|mathrm)\s*\{\s*[CFK]\s*\}|[CF])?\s*$")
_TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
_WORD = re.compile(r"[a-zA-Z]+")
_NEGATION = re.compile(r"(?<![a-zA-Z])(?:not|never|cannot|isn't)(?![a-zA-Z])")
_OR = re.compile(
    r"[\s(,]*or\s+(?:(?:about|around|approximately|roughly|simply|equivalently|just)\s)?"
    r"([^a-z]*\d[^a-z]*?)\s*([a-z /]*)[\s)]*"
)
_ABOUT = re.compile(
    r"[\s(,]*(?:about|around|approximately|approx|roughly|simply|exactly|equals|i\.?e)\.?,?\s+"
    r"([^a-z]*\d[^a-z]*?)\s*([a-z /]*)[\s)]*"
)
_NOT_ANOTHER = re.compile(r"[\s(,]*not\s[^a-z]*[\s)]*")
_APPROXIMATELY = re.compile(r"\s*\(\s*(\\approx(?![a-zA-Z])[^()]*)\)$")
_STATEMENT = re.compile(
    r"\s*(?:is|are|was|were|has|have|does|do|can|will|would|should|seems|isn't)\s"
    r"(?!(?:the|our|my)\s(?:final\s|correct\s)?answer|correct|right)"
)
_QUANTIFIER = re.compile(
    r"(?<=\S)\s*,?\s*(?:\\text\s*\{\s*,?\s*for\s(?:all|any|every|each)\s[a-z ]*\}"
    r"|(?<![a-zA-Z])for\s(?:all|any|every|each)(?![a-zA-Z])|\\forall(?![a-zA-Z]))"
    r"\s*(?:real\s|positive\s|integers?\s)*[a-z]?\s*(?:\\in\s*\\mathbb\s?\{?[A-Z]\}?(?:[_^]\S{1,4})?)?$"
)
_COMMAND = re.compile(r"\\(?:text(?:bf|it|rm)?|mathrm|mbox|hbox)\s*(?=\{)|[{}$]|\\approx")
_REMARK_NAMES = """
    in the a an of to as and is form simplified simplest lowest reduced fully terms rounded nearest
    closest exact exactly approximate approximately about decimal fraction mixed number improper
    integer place places tenth hundredth thousandth required requested asked needed given final
    answer result value solution our my correct total all checked verified by per each that this
    here by inspection only unique positive real original problem question text mode any
"""
_REMARK_WORDS = frozenset(_REMARK_NAMES.split())
_INTRODUCTION = re.compile(r"^\\text(?:bf|it|rm)?\s*\{([^{}]*)\}\s*(?=\S)")
_INTRODUCES = re.compile(
    r".*(?:\s(?:is|are|equals|was|be)|:)\s*:?\s*"
    r"|\s*(?:exactly|precisely|simply|just|only|about|approximately|a\stotal\sof)\s*",
    re.DOTALL,
)
_SUBJECT_NAMES = """
    so thus therefore hence then we have get find obtain it which are is was be equals value values
    sum difference product quotient ratio remainder probability expected minimum maximum minimal
    maximal smallest largest least greatest amount angle slope root degree coefficient constant
    function equation expression limit derivative integral determinant rank order index base common
    divisor denominator numerator average mean median mode range variance sequence series option
    choice letter there exactly precisely simply just square triangle circle x y z n k m
"""
_SUBJECT_WORDS = frozenset(_SUBJECT_NAMES.split()) | _REMARK_WORDS


def _numerically(text: str) -> str:
    r"""``\frac56 (\approx 0.83)`` without the brackets."""
    return _APPROXIMATELY.sub(r" \1", text) if text.endswith(")") else text


def without_remarks(text: str, trusted: bool = False) -> str:
    """``text`` without units in text mode, remarks and degrees at its end.

    Args:
        text: LaTeX without layout.
        trusted: whether it is a reference.
    """
    if is_time(text):
        return text
    text = without_quantifier(_numerically(text))
    is_remark, is_unit = (_unchanged, _may_be_unit) if trusted else (_is_remark, _is_unit)
    if _has_text_mode(text):
        text = _without(_REMARK, text, is_remark).rstrip() or text
    text = _without(_PLAIN_REMARK, text, is_remark) if text.endswith(")") else text
    text = _without(_UNIT_TEXT, text, is_unit) if _has_text_mode(text) else text
    text = _without(_WORDS_AT_END, text, may_be_counted) if trusted else text
    if r"\circ" not in text:
        return text.rstrip()
    if _TRIGONOMETRIC.search(text):
        return text
    return _DEGREES.sub("", text).rstrip()


def without_introduction(text: str, trusted: bool = False) -> str:
    r"""``\text{The value is } 7`` as ``7``, where all words of it are known to say nothing else."""
    match = _INTRODUCTION.match(text)
    if match is None or not _INTRODUCES.fullmatch(match[1]):
        return text
    words = match[1].lower().strip(" :.,")
    if trusted:
        return text[match.end() :] if _unchanged(words) else text
    names = _WORD.findall(words)
    known = all(name in _SUBJECT_WORDS or is_counted(name) for name in names)
    return text[match.end() :] if known and not re.search(r"[^a-z ,:.'-]", words) else text


def words_at_end(text: str) -> str:
    """The words that end a cleaned answer after its value, in small letters; else empty."""
    last = text[-1:]
    if not (last.isalpha() or (last == "}" and _has_text_mode(text))):
        return ""
    for pattern in _UNIT_TEXT, _WORDS_AT_END:
        match = pattern.search(text)
        if match:
            return " ".join(word.removesuffix("s") for word in _words(match[0]).lower().split())
    return ""


def without_quantifier(text: str) -> str:
    r"""``f(x) = 2x \text{ for all } x`` as ``f(x) = 2x``."""
    return _QUANTIFIER.sub("", text) if "for" in text else text


def has_reservation(text: str) -> bool:
    """Whether a cleaned answer ends in words that make it another one."""
    matches = (pattern.search(text) for pattern in (_REMARK, _PLAIN_REMARK, _UNIT_TEXT))
    return any(match and not _unchanged(_words(match[0])) for match in matches)


def _has_text_mode(text: str) -> bool:
    return r"\text" in text or r"\mathrm" in text or "box" in text


def _without(pattern: re.Pattern[str], text: str, says_nothing: Callable[[str], bool]) -> str:
    match = pattern.search(text)
    if match is None:
        return text
    answer, words = text[: match.start()], _words(match[0])
    if _denies(words, answer):
        return text
    if says_nothing(words):
        return answer
    alternative = _OR.fullmatch(words.lower()) or _ABOUT.fullmatch(words.lower())
    if alternative is None or not _is_unit(alternative[2]):
        return text
    return f"{answer}, {alternative[1].strip()}"


def _denies(remark: str, answer: str) -> bool:
    """Whether a remark such as ``(not 12)`` speaks of the answer itself."""
    if not _NOT_ANOTHER.fullmatch(remark.lower()):
        return False
    return remark.strip(" (),.").lower().removeprefix("not").strip() == answer.strip().lower()


def _words(remark: str) -> str:
    return _COMMAND.sub(" ", remark)


def _is_unit(words: str) -> bool:
    return not words.strip(" .,;:") or is_counted(words)


def _may_be_unit(words: str) -> bool:
    return _is_unit(words) or may_be_counted(words)


def _is_remark(words: str) -> bool:
    """Whether a remark in brackets is made of words that say nothing else."""
    inner = words.strip(" ().,").lower()
    if _NOT_ANOTHER.fullmatch(words.lower()) or is_counted(inner):
        return True
    names = _WORD.findall(inner)
    known = all(name in _REMARK_WORDS or is_counted(name) for name in names)
    return known and re.fullmatch(r"[a-z ,.'-]*", inner) is not None


def _unchanged(words: str) -> bool:
    """Whether a remark leaves what is before it the same answer."""
    words = words.lower()
    if _STATEMENT.match(words) or ("(" not in words and _NEGATION.search(words)):
        return False
    return CHANGING_WORDS.isdisjoint(_WORD.findall(words))
