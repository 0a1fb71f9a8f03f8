"""Names of units that may follow a number without changing its worth.

A closed list: any word would let ``10xy`` pass for 10, and one letter is more often a variable.
"""

from __future__ import annotations

_NAMES = """
    mm cm dm km meter metre millimeter centimeter kilometer centimetre kilometre inch inches
    ft foot feet yard yd mile mph kmph kph
    mg kg gram kilogram ton tonne lb lbs pound ounce oz
    ml liter litre milliliter gallon quart pint cup
    second sec minute min hour hr day week month year yr decade century am pm time
    degree deg radian rad
    dollar cent euro rupee usd eur yuan bucks
    unit square cubic sq cu digit point mark step page
    percent percentage pct
    hz joule watt newton volt ohm amp kelvin celsius fahrenheit
    person people student man men woman women child children boy girl way
    apple orange egg book coin ticket
"""
UNITS = frozenset(_NAMES.split())


def is_unit(words: str) -> bool:
    """Whether ``words`` are one or more unit names, singular or plural, joined by ``per`` or
    nothing.
    """
    names = [name for name in words.lower().replace(".", " ").split() if name not in ("per", "of")]
    return bool(names) and all(name in UNITS or name.removesuffix("s") in UNITS for name in names)
