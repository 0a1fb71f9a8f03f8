r"""LaTeX answers brought to one way of writing.

Two forms are made: :func:`clean` is LaTeX that means the same and that a parser can read;
:func:`plain` goes on to the form whose equality decides without a parser.

Invariant: every rule is general (it speaks of notation, never of a certain answer) and linear in
the length of the text, which the caller bounds.
"""

from __future__ import annotations

import re

from services.verifier.judgement.surrounding_words import without_introduction, without_remarks
from services.verifier.judgement.transcribed_columns import join_column
from services.verifier.judgement.unicode_folding import fold

_BOX = re.compile(r"\\f?box(?:ed)?(?![a-zA-Z])")
_SIZE = re.compile(r"\\(?:left|right|big|Big|bigg|Bigg|bigl|bigr|Bigl|Bigr|middle)(?![a-zA-Z])\.?")
_STYLE = re.compile(
    r"\\(?:(?:display|text|script)style|(?:no)?limits|rm|bf|it|tiny|small|(?i:large|huge)|normalsize"
    r"|boldmath|(?:math)?strut|checkmark|blacksquare|notag|nonumber|allowbreak|hfill"
    r"|(?:en|thin|med|thick)space)(?![a-zA-Z])|\\(?:tag|label)\s?\{[^{}]*\}"
    r"|\\(?:text)?color\s?(?:\[\w*\])?\s?\{[\w!#. ]*\}|\\underline(?![a-zA-Z])"
    r"|\\[hv]?phantom\s?(?:\{[^{}]*\}|[^\s\\{}])"
)
_LEADING_RELATION = re.compile(r"^(?:=|\\(?:approx|therefore|implies|Rightarrow)(?![a-zA-Z])|:)\s*(?=[^\s=])")
_RELATION_SIGNS = frozenset("=:\\")
_GROUPED_ARGUMENT = re.compile(r"(?<=\{)\s?[1-9]\d{0,2}(?:,\d{3})+\s?(?=\})")
_FRACTION = re.compile(r"\\(?:[dtcs]|nice)frac(?![a-zA-Z])")
_SHORT_FRACTION = re.compile(
    r"\\frac\s?(\d|[a-zA-Z]|\{[^{}]*\}|\\[a-zA-Z]+)\s?(\d|[a-zA-Z]|\{[^{}]*\}|\\(?!frac)[a-zA-Z]+)"
)
_DIGIT_GROUP = re.compile(r"(?<=\d)(?:\\[,;:! ]|\{,\}|~|,\\!\s?)(?=\d{3}(?!\d))")
_UPRIGHT_LETTER = re.compile(r"\\(?:math(?:rm|sf|normal)|operatorname|text(?:rm|normal)?)\s?\{\s?([ied])\s?\}")
"""ISO 80000-2 writes these letters of mathematics upright; they are no units."""
_NEGATIVE_SPACE = re.compile(r"(?<!\\)\\!\s*")
_SPACE = re.compile(r"(?<!\\)\\[,;:> ]|~|\\q?quad(?![a-zA-Z])|\\(?:hspace|vspace)\{[^{}]*\}")
_BRACED_COMMA = re.compile(r"\{\s*,\s*\}")
_BLANKS = re.compile(r"\s+")
_BLANK_LINES = re.compile(r"\n\s*\n")
_EMPTY_INDEX = re.compile(r"\\sqrt\s*(?:\{\}|\[\])(?=\s*\{)|\^\s*\{\s*\}(?=\s*\^)")
_SINGLE_COMMAND = re.compile(r"(?<!\\)\\[a-zA-Z]")
_DOUBLE_COMMAND = re.compile(r"\\\\[a-zA-Z]")
_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|math(?:rm|bf|it|sf|tt)|operatorname|[mh]box|boldsymbol"
    r"|bm)\s*\{([^{}]*)\}"
)
_INDEX = re.compile(r"([_^])\s?\{\s?(\w)\s?\}")
_BOLD = re.compile(r"\\(?:mathbf|boldsymbol|bm|textbf)\s*\{(?=.*\\[a-zA-Z]).*\}", re.DOTALL)
_DELIMITED = (("**", "**"), ("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_SPACE_BETWEEN_DIGITS = re.compile(r"(?<!\d) | (?!\d)")
_CURRENCY = re.compile(r"[€£¥₹]\s?(?=[\d.])|(?<=\d)\s?[€£¥₹]")
_LINES = re.compile(r"\\\\(?:\[[^\]]*\])?(?![a-zA-Z])")
_SHORT_WORDS = frozenset({"no", "up", "on", "in", "am", "pm"})
SHORTEST_WORD = 3
"""Two letters are a product, but for a few words."""
_CHOICE = re.compile(r"\(?([A-Z])[.)]?")


def clean(text: str, trusted: bool = False) -> str:
    """The same LaTeX without layout: sizes, styles, thin spaces, dollar signs, units at its end.

    Args:
        text: as it was written.
        trusted: whether it is a reference (:mod:`services.verifier.judgement.surrounding_words`).
    """
    if text.isascii() and text.isdigit():
        return text
    text = _BLANK_LINES.sub(", ", fold_lines(text))
    text = _unescape(text)
    text = _EMPTY_INDEX.sub(lambda match: r"\sqrt" if match[0][1] == "s" else "", text)
    text = join_column(text if text.isascii() else _CURRENCY.sub("", text))
    if r"\\" in text and r"\begin" not in text:
        text = _LINES.sub(", ", text)
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    text = _strip_delimiters(_BLANKS.sub(" ", text).strip())
    if text.startswith("\\"):
        text = _without_bold(without_introduction(text, trusted))
    text = text.replace(r"\$", "").replace("$", "").replace(r"\%", "%")
    text = _LEADING_RELATION.sub("", text, count=1) if text[:1] in _RELATION_SIGNS else text
    text = _GROUPED_ARGUMENT.sub(lambda number: number[0].replace(",", ""), text)
    return _short_fractions(without_remarks(text, trusted))


def plain(cleaned: str) -> str:
    """A :func:`clean` text for comparison by equality: text commands unwrapped, no needless
    space.
    """
    text = unwrapped(_INDEX.sub(r"\1\2", cleaned))
    text = _SPACE_BETWEEN_DIGITS.sub("", text.rstrip("."))
    choice = _CHOICE.fullmatch(text)
    if choice:
        return choice[1]
    return text.casefold() if _is_cased_word(text) else text


def is_letters_of_word(text: str) -> bool:
    """Whether ``text`` is a word and no product: letters alone, more than two of them (``xy``) but
    for a few words.
    """
    return text.isalpha() and (len(text) >= SHORTEST_WORD or text.lower() in _SHORT_WORDS)


def _is_cased_word(text: str) -> bool:
    """Whether ``text`` has the case of a word (``May``, ``MAY``) and not of symbols (``Mm``)."""
    cases = text.lower(), text.upper(), text.capitalize()
    return is_letters_of_word(text) and text in cases


def unwrapped(cleaned: str) -> str:
    """A :func:`clean` text without text commands, its words as they are."""
    return _BLANKS.sub(" ", _TEXT.sub(r" \1 ", cleaned)).strip()


def fold_lines(text: str) -> str:
    """Unicode folded line by line, so that blank lines can still be seen afterwards."""
    return "\n".join(fold(line) for line in text.strip().split("\n"))


def _unescape(text: str) -> str:
    """Undo escaping where every command is written with two backslashes."""
    if _DOUBLE_COMMAND.search(text) and not _SINGLE_COMMAND.search(text):
        return text.replace("\\\\", "\\")
    return text


def _strip_delimiters(text: str) -> str:
    """``text`` out of its delimiters and without the full stop of its sentence."""
    while True:
        text = text.strip().rstrip(".,;").rstrip()
        for opening, closing in _DELIMITED:
            inner = len(text) - len(opening) - len(closing)
            if inner >= 0 and text.startswith(opening) and text.endswith(closing):
                text = text[len(opening) : len(text) - len(closing)]
                break
        else:
            return text.removesuffix("\\").rstrip()


def _without_bold(text: str) -> str:
    """The formula that is bold from its first to its last character; else the text itself."""
    if not _BOLD.fullmatch(text):
        return text
    inner, depth = text[text.index("{") + 1 : -1], 0
    for brace in re.findall(r"(?<!\\)[{}]", inner):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return text
    return inner


def _short_fractions(text: str) -> str:
    r"""``\frac12`` as ``\frac{1}{2}``."""
    return _SHORT_FRACTION.sub(lambda match: rf"\frac{_braced(match[1])}{_braced(match[2])}", text)


def _braced(part: str) -> str:
    return part if part.startswith("{") else f"{{{part}}}"


_REPLACEMENTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (_BOX, ""),
    (_SIZE, ""),
    (_STYLE, " "),
    (_FRACTION, r"\\frac"),
    (_DIGIT_GROUP, ""),
    (_NEGATIVE_SPACE, ""),
    (_UPRIGHT_LETTER, r" \1"),
    (_BRACED_COMMA, ","),
    (_SPACE, " "),
    (re.compile(r"(?<=[\w)])\*\*(?=[\w({-])"), "^"),
    (re.compile(r"\\varnothing(?![a-zA-Z])"), r"\\emptyset"),
    (re.compile(r"\\big(?=(?:cup|cap)(?![a-zA-Z]))"), r"\\"),
    (re.compile(r"\\(?:infin|infinity)(?![a-zA-Z])"), r"\\infty"),
    (re.compile(r"\\[cdl]dots(?:[bcimo])?(?![a-zA-Z])|\\dots(?![a-zA-Z])|\.\.\.|…"), r"\\ldots "),
    (re.compile(r"\\colon(?![a-zA-Z])|\\mathbin\{:\}"), ":"),
)
