r"""Residue classes: ``3 \pmod 7``, ``x \equiv 3 \pmod{7}``, ``3 (mod 7)``.

Rules:
- two classes are the same if their moduli are equal and their integers are congruent;
- beside an answer without a modulus the number itself counts: ``3 \pmod 7`` is 3 and not 10.
"""

from __future__ import annotations

import re

_MODULUS = re.compile(
    r"\s*,?\s*(?:\\pmod\s*\{?\s*(?P<a>\w+)\s*\}?"
    r"|\(\s*(?:\\(?:b|)mod|\\text\s*\{\s*mod\s*\}|mod|modulo)\s*\{?\s*(?P<b>\w+)\s*\}?\s*\)"
    r"|\\mod\s*\{?\s*(?P<c>\w+)\s*\}?)\s*"
)
_NAMED = re.compile(r"\\?[a-zA-Z]+\s*(?:\\equiv|=)\s*(.*)", re.DOTALL)
_INTEGER = re.compile(r"-?\d{1,300}")


def without_modulus(cleaned: str) -> tuple[str, str] | None:
    """(residues, modulus) of an answer that ends with a modulus, else None."""
    if "mod" not in cleaned:
        return None
    *_, last = (None, *_MODULUS.finditer(cleaned))
    if last is None or last.end() != len(cleaned) or not last.start():
        return None
    value = cleaned[: last.start()]
    named = _NAMED.fullmatch(value)
    return named[1] if named else value, last["a"] or last["b"] or last["c"]


def congruent(first: str, second: str, modulus: str) -> bool | None:
    """Whether two integers are congruent; None when one of the texts is none."""
    if not all(_INTEGER.fullmatch(text) for text in (first, second, modulus)):
        return None
    return int(modulus) > 0 and (int(first) - int(second)) % int(modulus) == 0
