"""Unicode text folded to the ASCII and LaTeX a formula parser knows.

Invariants: invisible characters (format, control, surrogate, private use) never survive; every
rule works on single characters or runs of them, in linear time.
"""

from __future__ import annotations

import re
import unicodedata

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎", "0123456789+-()", strict=True))
_SUPERSCRIPT_RUN = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_SUBSCRIPT_RUN = re.compile(f"[{''.join(_SUBSCRIPTS)}]+")
_ROOT = re.compile(r"√\s?(\d+|\w)")
_VULGAR_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
"""``3½`` becomes ``3 1/2``, not ``31/2``."""
_INVISIBLE = frozenset({"Cf", "Cc", "Cs", "Co", "Cn"})
_SYMBOLS = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "—": "-",
        "‐": "-",
        "‑": "-",
        "÷": "/",
        "⁄": "/",
        "∕": "/",
        "×": r"\times ",
        "·": r"\cdot ",
        "⋅": r"\cdot ",
        "∙": r"\cdot ",
        "±": r"\pm ",
        "∓": r"\mp ",
        "√": r"\sqrt",
        "∞": r"\infty ",
        "°": r"^\circ ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "≈": r"\approx ",
        "∈": r"\in ",
        "∪": r"\cup ",
        "∩": r"\cap ",
        "∅": r"\emptyset ",
        "ℝ": r"\mathbb{R}",
        "ℤ": r"\mathbb{Z}",
        "π": r"\pi ",
        "θ": r"\theta ",
        "α": r"\alpha ",
        "β": r"\beta ",
        "ω": r"\omega ",
        "φ": r"\phi ",
        "，": ",",
        "。": ".",
        "（": "(",
        "）": ")",
        "：": ":",
        "；": ";",
        "⟨": r"\langle ",
        "⟩": r"\rangle ",
        "⌊": r"\lfloor ",
        "⌋": r"\rfloor ",
        "⌈": r"\lceil ",
        "⌉": r"\rceil ",
        "′": "'",
        "≡": r"\equiv ",
        "∧": r"\wedge ",
        "∨": r"\vee ",
        "∖": r"\setminus ",
        "→": r"\to ",
        "∉": r"\notin ",
        "∠": r"\angle ",
        "△": r"\triangle ",
        "⊥": r"\perp ",
        "∥": r"\parallel ",
        "≅": r"\cong ",
        "∼": r"\sim ",
        "¬": r"\neg ",
        "⇒": r"\implies ",
        "⇔": r"\iff ",
        "↔": r"\iff ",
        "∀": r"\forall ",
        "∃": r"\exists ",
        "⊂": r"\subset ",
        "⊆": r"\subseteq ",
        "⊃": r"\supset ",
        "⊇": r"\supseteq ",
        "∂": r"\partial ",
        "∇": r"\nabla ",
        "∘": r"\circ ",
        "⊕": r"\oplus ",
        "⊗": r"\otimes ",
        "∣": r"\mid ",
    }
)


def fold(text: str) -> str:
    """``text`` without invisible characters, its mathematical symbols as LaTeX."""
    if text.isascii():
        return "".join(map(_visible, text)) if not text.isprintable() else text
    text = _SUPERSCRIPT_RUN.sub(lambda run: f"^{{{run[0].translate(_table(_SUPERSCRIPTS))}}}", text)
    text = _SUBSCRIPT_RUN.sub(lambda run: f"_{{{run[0].translate(_table(_SUBSCRIPTS))}}}", text)
    text = _VULGAR_FRACTION.sub(" ", text)
    text = _ROOT.sub(r"\\sqrt{\1}", text).translate(_SYMBOLS)
    text = unicodedata.normalize("NFKC", text).translate(_SYMBOLS)
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else (" " if character.isspace() else "")
    category = unicodedata.category(character)
    if category in _INVISIBLE:
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    return " " if character.isspace() else character


def _table(letters: dict[str, str]) -> dict[int, str]:
    return {ord(key): value for key, value in letters.items()}
