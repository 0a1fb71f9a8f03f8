"""Words beside a number that do not change its worth: units, things that are counted, remarks.

Rules:
- every word must be known: the name of a unit or a thing (:mod:`services.verifier.judgement.countable_things`), a word
  before one (``red marbles``) or a link (``in the bag``); ``per`` and ``/`` divide two of them;
- digits, operators and any other word are never left out: ``7 lakh``, ``7 oder 8``, ``7 excluded``;
- a reference is trusted further (:func:`may_be_counted`): its author wrote a number and what is
  counted, so any word will do that does not change the number.
"""

from __future__ import annotations

import re

from services.verifier.judgement.countable_things import CLOSING, LINKS, MODIFIERS, is_thing
from services.verifier.judgement.measures import is_unit_name

_NAMES = """
    mm cm dm km meter metre millimeter centimeter kilometer centimetre kilometre inch inches
    ft foot feet yard yd mile mph kmph kph
    mg kg gram kilogram ton tonne lb lbs pound ounce oz
    ml liter litre milliliter gallon quart pint cup
    second sec minute min hour hr day week month year yr decade century am pm time
    degree deg radian rad
    dollar cent euro rupee usd eur yuan yen won peso franc pence bucks
    unit square cubic sq cu digit point mark step page
    percent percentage pct
    hz joule watt newton volt ohm amp kelvin celsius fahrenheit
    person people student man men woman women child children boy girl way
    apple orange egg book coin ticket
"""
UNITS = frozenset(_NAMES.split())
_CHANGING_NAMES = """
    or either maybe perhaps possibly also
    wrong incorrect impossible false invalid unknown none not never
    three four five seven eight nine eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand million billion trillion dozen dozens k tens score
    halves thirds quarters fourths fifths sixths sevenths eighths ninths
    tenths hundredths thousandths
    squared cubed factorial plus minus mod modulo remainder inverse negative double triple twice
    least most fewer below above if unless otherwise infinitely
    lakh lakhs crore crores gross pair pairs couple score quintillion quadrillion
    permille permil mille
    excluded excluding except ruled out then else instead rather without inclusive
    oder ou und et o y sowie oppure eller ili nicht pas kein keine moins menos mal fois veces
"""
CHANGING_WORDS = frozenset(_CHANGING_NAMES.split())
"""Words after a number that make it another one."""
_UNCOUNTED_NAMES = """
    half third quarter times choose over base more less under when where and not never but through
    sine cosine tangent log root infinity alpha beta gamma theta lambda
"""
_UNCOUNTED = CHANGING_WORDS | frozenset(_UNCOUNTED_NAMES.split())
_SCALES = frozenset("kKMB")
"""A unit, or as well thousands, millions or billions."""
_VOWELS = frozenset("aeiou")
SHORT_WORD = 3
MAXIMUM_WORDS = 8
_POWER = re.compile(r"(?<=[a-zA-Z])(?:\s?\s?\^\s?\{?\s?)?[1-3]\s?\}?(?=[\s/]|$)")
_OF = re.compile(r"([a-zA-Z ]*[a-zA-Z]) of (?:the )?([a-zA-Z]{3,})")
_DIVIDER = re.compile(r"[\s/]+")
_LAYOUT = re.compile(r"\\[,;: ]|[-.~·()]")


def is_unit(words: str) -> bool:
    """Whether ``words`` are one or more unit names, singular or plural, joined by ``per`` or
    nothing.
    """
    names = [name for name in words.replace(".", " ").split() if name not in ("per", "of")]
    return bool(names) and all(map(_names_unit, names))


def is_counted(words: str) -> bool:
    """Whether ``words`` name counted things or units, or close an answer, and say nothing else:
    ``marbles``, ``red marbles in the bag``, ``km/h``, ``cm^2``, ``in total``.
    """
    text = " ".join(_LAYOUT.sub(" ", words).strip(" ,;:").split())
    if text.lower() in CLOSING:
        return True
    names = _DIVIDER.split(_POWER.sub("", _material(text)).strip("/ "))
    return (
        len(names) <= MAXIMUM_WORDS
        and any(map(_is_named, names))
        and all(_is_named(name) or name.lower() in _AROUND for name in names)
    )


def _material(text: str) -> str:
    """``cups of flour`` as ``cups``, of whatever they are."""
    match = _OF.fullmatch(text)
    if match is None or match[2].lower() in _UNCOUNTED or not _is_named(match[1].split()[-1]):
        return text
    return match[1]


def may_be_counted(words: str) -> bool:
    """Whether ``words`` of a trusted author may be the name of counted things: at least one long
    word, and none that changes a number.
    """
    names = words.lower().replace("-", " ").split()
    return (
        len(names) <= MAXIMUM_WORDS
        and all(name.isalpha() for name in names)
        and any(len(name) >= SHORT_WORD and not _VOWELS.isdisjoint(name) for name in names)
        and _UNCOUNTED.isdisjoint(names)
    )


def _is_named(name: str) -> bool:
    return name not in _SCALES and (_names_unit(name) or is_thing(name.lower()))


def _names_unit(name: str) -> bool:
    small = name.lower()
    return small in UNITS or small.removesuffix("s") in UNITS or is_unit_name(name)


_AROUND = MODIFIERS | LINKS
