r"""Answers with units on both sides: ``5 m`` is ``500 cm`` and is neither ``5 cm`` nor ``5 kg``.

Rules:
- a unit is read only after a value, from a closed table, with powers (``cm^2``, ``square feet``)
  and one ``/`` or ``per``; a currency may stand before the value;
- several parts are added: ``2 hours 30 minutes``, ``5 ft 6 in``;
- if one of the two answers has no unit of the table, units are ignored
  (:mod:`services.verifier.judgement.counted_words`);
- two units that measure different things are different answers; of the same thing they are
  converted exactly. Currencies are not converted, nor are temperatures.

Invariant: linear in the length of the text; nothing but text is looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise, product

from services.verifier.judgement.unicode_folding import fold

_SIMPLE = """
    length m metre meter : 1
    length inch inches in : 254/10000
    length ft foot feet : 3048/10000
    length yd yard : 9144/10000
    length mile mi : 1609344/1000
    area acre : 316160658/78125
    area hectare ha : 10000
    volume l L liter litre : 1/1000
    volume gallon gal : 473176473/125000000000
    volume quart qt : 473176473/500000000000
    volume pint pt : 473176473/1000000000000
    volume cup : 473176473/2000000000000
    volume tablespoon tbsp : 473176473/32000000000000
    volume teaspoon tsp : 157725491/32000000000000
    mass g gram : 1/1000
    mass tonne : 1000
    mass lb pound : 45359237/100000000
    mass oz ounce : 45359237/1600000000
    time s sec second : 1
    time min minute : 60
    time h hr hour : 3600
    time day : 86400
    time week : 604800
    month month : 1
    month yr year : 12
    month decade : 120
    month century centuries : 1200
    dollar $ dollar USD usd buck : 1
    dollar cent ¢ : 1/100
    euro € euro EUR : 1
    pound £ GBP : 1
    rupee ₹ rupee INR : 1
    yen ¥ yen yuan : 1
    angle degree deg : 1
    angle arcminute : 1/60
    angle arcsecond : 1/3600
    radian radian rad : 1
    celsius celsius : 1
    fahrenheit fahrenheit : 1
    kelvin kelvin K : 1
    frequency hz Hz hertz : 1
    force N newton : 1
    pressure Pa pascal : 1
    pressure bar : 100000
    pressure atm atmosphere : 101325
    power W watt : 1
    energy J joule : 1
    energy Wh : 3600
    energy cal calorie : 4184/1000
    energy eV electronvolt : 1602176634/10000000000000000000000000000
    charge C coulomb : 1
    current A amp ampere : 1
    voltage V volt : 1
    resistance ohm Ω : 1
    amount mol mole : 1
    data bit : 1
    data B byte : 8
"""
_BASE = {
    "area": (("length", 2),),
    "volume": (("length", 3),),
    "frequency": (("time", -1),),
    "force": (("length", 1), ("mass", 1), ("time", -2)),
    "pressure": (("length", -1), ("mass", 1), ("time", -2)),
    "energy": (("length", 2), ("mass", 1), ("time", -2)),
    "power": (("length", 2), ("mass", 1), ("time", -3)),
    "charge": (("current", 1), ("time", 1)),
    "voltage": (("current", -1), ("length", 2), ("mass", 1), ("time", -3)),
    "resistance": (("current", -2), ("length", 2), ("mass", 1), ("time", -3)),
}
"""What is measured by powers of other dimensions; any other dimension is one of its own."""
_SHORT_PREFIXES = {"n": -9, "µ": -6, "u": -6, "m": -3, "c": -2, "d": -1, "k": 3, "M": 6, "G": 9, "T": 12}
_LONG_PREFIXES = {
    "nano": -9,
    "micro": -6,
    "milli": -3,
    "centi": -2,
    "deci": -1,
    "kilo": 3,
    "mega": 6,
    "giga": 9,
    "tera": 12,
}
_METRIC_NAMES = """
    m metre meter l L liter litre g gram s second hz Hz hertz N newton Pa pascal W watt J joule Wh
    cal calorie eV electronvolt C coulomb A amp ampere V volt ohm Ω mol mole bit B byte bar
"""
_PREFIXED = _METRIC_NAMES.split()
SYMBOL_CHARACTERS = 3
"""Names up to this length take short prefixes (``kJ``), from this length on long ones."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is measured, as powers of its dimensions, and its size in the first unit of each."""

    dimensions: tuple[tuple[str, int], ...]
    size: Fraction


@dataclass(frozen=True, slots=True)
class Measure:
    """A value and its unit."""

    value: str
    unit: Unit
    added: bool = False
    """Whether it was written in several parts."""


def _table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for line in _SIMPLE.strip().splitlines():
        words, _, size = line.partition(":")
        dimension, *names = words.split()
        powers = _BASE.get(dimension, ((dimension, 1),))
        units |= dict.fromkeys(names, Unit(powers, Fraction(size.strip())))
    return _with_prefixes(units) | units


def _with_prefixes(units: dict[str, Unit]) -> dict[str, Unit]:
    """``km``, ``kilometer``, ``mL``: each name of a metric unit behind each prefix of its kind."""
    short = [name for name in _PREFIXED if len(name) <= SYMBOL_CHARACTERS]
    long = [name for name in _PREFIXED if len(name) >= SYMBOL_CHARACTERS]
    pairs = [*product(_SHORT_PREFIXES.items(), short), *product(_LONG_PREFIXES.items(), long)]
    return {
        prefix + name: Unit(units[name].dimensions, units[name].size * Fraction(10) ** power)
        for (prefix, power), name in pairs
    }


_UNITS = _table()
_PER_HOUR = {"mph": ("mile", "hour"), "kph": ("km", "hour"), "kmph": ("km", "hour")}
_POUNDS = {(("mass", 1),), (("pound", 1),)}
"""A pound may be either, so nothing is said of ``£5`` and ``5 pounds``."""
_POWER_WORDS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm)?|math(?:rm|bf)|mbox|hbox)\s*\{([^{}]*)\}")
_LAYOUT = re.compile(r"\\[,;:!()\[\] ]|~|\\q?quad|(?<!\\)\$|\\(?:left|right|displaystyle)(?![a-zA-Z])")
_CURRENCY_FIRST = re.compile(r"(-?)\s?(\\\$|[€£¥₹])\s?(?=[\d.])(.*)", re.DOTALL)
_DEGREE = re.compile(r"\^\s*(?:\\circ|\{\s*\\circ\s*\})")
_TEMPERATURE = re.compile(r"\s(?:degrees?\s+)(?:(c|celsius)|f|fahrenheit)$", re.IGNORECASE)
_ARC_SECONDS = re.compile(r"(\d)\s?(?:''|\")")
_ARC_MINUTES = re.compile(r"(\d)\s?'")
_SIGNS = str.maketrans({"²": "^2", "³": "^3", "°": " degree "})
_TAIL = re.compile(
    r"(?P<value>.*(?:[\d})!]|\\pi))\s*(?P<unit>(?:°|[a-zA-Z€£¥₹¢]+\.?)(?:[ -][a-zA-Z]+\.?){0,3}"
    r"(?:\s?\^\s?\{?\s?[1-3]\s?\}?)?(?:\s?/\s?[a-zA-Z]+(?:\s?\^\s?\{?\s?[1-3]\s?\}?)?)?)",
    re.DOTALL,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s?([a-zA-Z]+)\.?")
_PARTS = re.compile(r"\d+\s?[a-zA-Z]+\.?(?:,?\s?(?:and\s)?\d+(?:\.\d+)?\s?[a-zA-Z]+\.?){1,2}")
_WORD = re.compile(r"([a-zA-Z€£¥₹¢$]+)\.?(?:\s?\^\s?\{?\s?([1-3])\s?\}?)?")
MAXIMUM_CHARACTERS = 200
CACHED_MEASURES = 16_384


@lru_cache(maxsize=CACHED_MEASURES)
def read_measure(text: str) -> Measure | None:
    r"""The value and unit that all of ``text`` is, or None.

    Args:
        text: as the author wrote it: ``5 \text{ cm}^2``, ``\$5``, ``36 km/h``, ``90^\circ``.
    """
    if len(text) > MAXIMUM_CHARACTERS or text.isdigit():
        return None
    text = fold(text)
    text = " ".join(_TEXT.sub(r" \1 ", _LAYOUT.sub(" ", text)).split()).rstrip(".")
    text = " ".join(_DEGREE.sub(" degree ", text.translate(_SIGNS)).split())
    text = _TEMPERATURE.sub(lambda name: " celsius" if name[1] else " fahrenheit", text)
    if "'" in text and " degree" in text:
        text = _ARC_MINUTES.sub(r"\1 arcminute", _ARC_SECONDS.sub(r"\1 arcsecond", text))
    money = _CURRENCY_FIRST.fullmatch(text)
    if money:
        return _money(f"{money[1]}{money[3]}", _UNITS[money[2].removeprefix("\\")])
    match = _TAIL.fullmatch(text)
    unit = _unit(match["unit"]) if match else None
    return _sum(text) or Measure(match["value"].strip(), unit) if match and unit else None


def same_measure(reference: str, answer: str) -> tuple[str, str] | bool | None:
    """What the units of two answers say.

    Returns:
        None: a unit is missing, or both have the same; False: they measure different things; else
        the two values in the same unit, as LaTeX, to be compared.
    """
    first = read_measure(reference)
    second = first and read_measure(answer)
    if first is None or second is None:
        return None
    if first.unit == second.unit and not (first.added or second.added):
        return None
    dimensions = first.unit.dimensions, second.unit.dimensions
    if dimensions[0] != dimensions[1]:
        return None if set(dimensions) == _POUNDS else False
    return _in_base_unit(first), _in_base_unit(second)


def is_unit_name(word: str) -> bool:
    """Whether ``word`` is a unit of the table; in symbols such as ``kJ`` the case counts."""
    return _named(word) is not None


def in_radians(text: str) -> str | None:
    r"""The formula in radians of an angle in degrees: ``150^\circ`` as ``(150) \cdot ...``."""
    measure = read_measure(text)
    if measure is None or measure.unit != _UNITS["degree"]:
        return None
    return rf"({measure.value}) \cdot \frac{{\pi}}{{180}}"


def _sum(text: str) -> Measure | None:
    """``2 hours and 30 minutes`` in its last unit; the parts measure one thing, each finer."""
    if not _PARTS.fullmatch(text):
        return None
    parts = [(Fraction(number), _product(name)) for number, name in _PART.findall(text)]
    units = [unit for _, unit in parts if unit]
    if len(units) < len(parts) or len({unit.dimensions for unit in units}) > 1:
        return None
    if any(unit.size <= finer.size for unit, finer in pairwise(units)):
        return None
    total = sum((number * unit.size for number, unit in parts if unit), Fraction(0))
    return Measure(str(total / units[-1].size), units[-1], added=True)


def _in_base_unit(measure: Measure) -> str:
    """``1.5`` km as ``1500``; a formula as a product."""
    value = measure.value.rpartition("=")[2].strip()
    try:
        return str(Fraction(value.replace(",", "")) * measure.unit.size)
    except (ValueError, ZeroDivisionError):
        top, bottom = measure.unit.size.as_integer_ratio()
        return rf"({value}) \cdot \frac{{{top}}}{{{bottom}}}"


def _money(value: str, currency: Unit) -> Measure | None:
    """A currency sign says it all; ``\\$5 per hour`` and the like keep no unit."""
    return Measure(value.strip(), currency) if re.fullmatch(r"-?[\d.,]+", value.strip()) else None


def _unit(words: str) -> Unit | None:
    above, *below = re.split(r"\s?/\s?|\sper\s", words)
    units = [_product(part) for part in (above, *below)]
    if len(units) > 2 or any(unit is None for unit in units):
        return None
    top, *bottom = (unit for unit in units if unit is not None)
    return _divided(top, bottom[0]) if bottom else top


def _product(words: str) -> Unit | None:
    """One unit, squared or cubed by a word or an exponent."""
    first, _, rest = words.replace("-", " ").replace(".", "").strip().partition(" ")
    if first in _PER_HOUR and not rest:
        return _divided(*(_UNITS[name] for name in _PER_HOUR[first]))
    power = _POWER_WORDS.get(first.lower(), 1)
    match = _WORD.fullmatch(rest if power > 1 else words.strip())
    unit = _named(match[1]) if match else None
    return _raised(unit, power * int(match[2] or 1)) if match and unit else None


def _named(name: str) -> Unit | None:
    forms = (name, name.removesuffix("s"), name.lower(), name.lower().removesuffix("s"))
    exact = forms if len(name) > 2 else forms[:1]
    return next((_UNITS[form] for form in exact if form in _UNITS), None)


def _raised(unit: Unit, power: int) -> Unit:
    dimensions = tuple((name, exponent * power) for name, exponent in unit.dimensions)
    return Unit(dimensions, unit.size**power)


def _divided(top: Unit, bottom: Unit) -> Unit:
    exponents = Counter(dict(top.dimensions))
    exponents.subtract(dict(bottom.dimensions))
    dimensions = tuple(sorted((name, count) for name, count in exponents.items() if count))
    return Unit(dimensions, top.size / bottom.size)
