r"""A small reader of LaTeX formulas that can be evaluated, without sympy.

Invariants:
- a formula is read into nested tuples of known operations; nothing is ever executed;
- what is not certainly understood (unknown commands, words, functions without a definition, sums,
  integrals) raises :class:`Unsupported`: it is for the symbolic parser, never guessed;
- the depth of the recursion is bounded by the depth of brackets, which the caller limits.
"""

from __future__ import annotations

import re
from fractions import Fraction

Node = tuple["str | Fraction | Node", ...]
"""``(operation, arguments...)``; leaves are ``("number", Fraction)`` and ``("name", str)``."""

_FUNCTION_NAMES = """
    sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log lg exp sqrt
"""
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
CONSTANTS = frozenset({"pi", "e", "i", "infty"})
_TRIGONOMETRIC_NAMES = """
    sin cos tan cot sec csc
"""
TRIGONOMETRIC = frozenset(_TRIGONOMETRIC_NAMES.split())

_GREEK_NAMES = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi
    rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi
    Omega hbar ell
"""
_GREEK = frozenset(_GREEK_NAMES.split())
_VARIANTS = {"varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "ell": "l"}
"""Two shapes of one letter."""
_PLAIN_WORDS = {
    **{name: f"\\{name}" for name in FUNCTIONS},
    "pi": r"\pi",
    "arcsine": r"\arcsin",
    "asin": r"\arcsin",
    "acos": r"\arccos",
    "atan": r"\arctan",
}
_OPERATORS = {**dict.fromkeys((r"\times", r"\cdot", r"\ast", "*"), "*"), **dict.fromkeys((r"\div", "/", ":"), "/")}
_SPACES = frozenset({r"\,", r"\;", r"\:", r"\!", r"\ ", r"\quad", r"\qquad", r"\displaystyle"})
_FONT = frozenset({r"\mathrm", r"\text", r"\textbf", r"\mathbf", r"\mathit", r"\operatorname", r"\boldsymbol", r"\bm"})
_CLOSING = {
    "(": ")",
    "[": "]",
    "{": "}",
    r"\{": r"\}",
    r"\lfloor": r"\rfloor",
    r"\lceil": r"\rceil",
    r"\lvert": r"\rvert",
}
_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|\\[a-zA-Z]+|\\.|[a-zA-Z]+|\S)", re.DOTALL)
_ACCENTS = {
    **{name: name for name in ("hat", "bar", "vec", "dot", "ddot", "tilde")},
    "widehat": "hat",
    "widetilde": "tilde",
    "overrightarrow": "vec",
    "overline": "bar",
}
"""On a letter they make another name of it."""
_UNKNOWN_FUNCTIONS = frozenset("fghFGHPQ")
_MAXIMUM_LETTERS = 3
"""A longer run of letters is a word, not a product."""
_MAXIMUM_TOKENS = 600
_BARE_BASE: Node = ("name", "base of log")


class Unsupported(ValueError):
    """The text is not a formula of the kind this reader knows."""


def read(text: str) -> Node:
    """The tree of ``text``.

    Raises:
        Unsupported: see the invariants.
    """
    if text.replace(" ", "").isalpha() and len(text.strip()) > 1 and text.strip() != "pi":
        raise Unsupported("a word")
    if text.count(":") > 1:
        raise Unsupported("a ratio of more than two")
    reader = _Reader(_tokens(text))
    node = reader.sum()
    if not reader.at_end():
        raise Unsupported(f"{reader.peek()!r} is not understood")
    return node


def names(node: Node) -> frozenset[str]:
    """The variables in ``node``."""
    if node[0] == "name":
        return frozenset({str(node[1])})
    parts = (names(part) for part in node[1:] if isinstance(part, tuple))
    return frozenset().union(*parts)


def has_sum(node: Node) -> bool:
    """Whether anything is added: a product of a number and letters may be a number with a unit."""
    if node[0] == "add":
        return True
    return any(has_sum(part) for part in node[1:] if isinstance(part, tuple))


def has_imaginary_unit(node: Node) -> bool:
    """Whether ``i`` occurs."""
    if node == ("constant", "i"):
        return True
    return any(has_imaginary_unit(part) for part in node[1:] if isinstance(part, tuple))


def has_steps(node: Node) -> bool:
    """Whether anything is rounded down or up: such formulas agree on whole intervals."""
    if node[0] in ("lfloor", "lceil"):
        return True
    return any(has_steps(part) for part in node[1:] if isinstance(part, tuple))


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    for piece in _TOKEN.findall(text):
        if piece in _SPACES:
            continue
        if piece.isalpha() and piece.isascii() and len(piece) > 1:
            tokens += _letters(piece)
        else:
            tokens.append(piece)
        if len(tokens) > _MAXIMUM_TOKENS:
            raise Unsupported("too long")
    return tokens


def _letters(word: str) -> list[str]:
    if word in _PLAIN_WORDS:
        return [_PLAIN_WORDS[word]]
    if len(word) > _MAXIMUM_LETTERS:
        raise Unsupported(f"the word {word!r}")
    return list(word)


class _Reader:
    """Recursive descent over a list of tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._position = tokens, 0
        self._trigonometric = 0
        self._fraction_end = -1

    def at_end(self) -> bool:
        return self._position == len(self._tokens)

    def peek(self) -> str:
        return "" if self.at_end() else self._tokens[self._position]

    def take(self) -> str:
        if self.at_end():
            raise Unsupported("it ends too early")
        self._position += 1
        return self._tokens[self._position - 1]

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise Unsupported(f"{token!r} is missing")

    def sum(self) -> Node:
        node = self.product()
        while self.peek() in ("+", "-"):
            sign = self.take()
            right = self.product()
            node = ("add", node, right if sign == "+" else ("negative", right))
        return node

    def product(self) -> Node:
        if self.peek() in ("+", "-"):
            sign, node = self.take(), self.product()
            return node if sign == "+" else ("negative", node)
        node = self.power()
        while True:
            operator = _OPERATORS.get(self.peek())
            if operator:
                self.take()
                right = self._signed_power()
                node = ("multiply" if operator == "*" else "divide", node, right)
            elif self._starts_factor():
                node = self._juxtaposed(node)
            else:
                return node

    def _signed_power(self) -> Node:
        if self.peek() in ("+", "-"):
            sign, right = self.take(), self._signed_power()
            return right if sign == "+" else ("negative", right)
        return self.power()

    def _juxtaposed(self, left: Node) -> Node:
        after_number = left[0] == "number" or self._after_fraction()
        if after_number and self.peek()[-1:].isdigit():
            raise Unsupported("two numbers side by side")
        mixed = left[0] == "number" and self._tokens[self._position - 1][-1].isdigit()
        fraction = self.peek() == r"\frac"
        right = self.power()
        if mixed and fraction and _whole_fraction(right) and _whole(left):
            return ("add", left, right)
        return ("multiply", left, right)

    def _after_fraction(self) -> bool:
        r"""Whether a fraction ends here: a digit after ``\frac{2}{3}`` may belong to the 3."""
        return self._position == self._fraction_end

    def _starts_factor(self) -> bool:
        token = self.peek()
        if not token or token in ("+", "-", "^", "_", "!", "%", "'", "=", ",", "&", "|", ";"):
            return False
        return token not in _CLOSING.values()

    def power(self) -> Node:
        node = self.postfix(self.atom())
        if self.peek() == "^":
            self.take()
            node = self._raised(node)
            return self.postfix(node)
        return node

    def postfix(self, node: Node) -> Node:
        while True:
            if self.peek() == "!":
                self.take()
                if self.peek() == "!":
                    raise Unsupported("a double factorial")
                node = ("factorial", node)
            elif self.peek() in ("%", r"\%"):
                self.take()
                node = ("divide", node, ("number", Fraction(100)))
            elif self.peek() == "^" and self._degree_sign():
                if self._trigonometric:
                    half_turn = ("divide", ("constant", "pi"), ("number", Fraction(180)))
                    node = ("multiply", node, half_turn)
            else:
                return node

    def _degree_sign(self) -> bool:
        following = self._tokens[self._position + 1 : self._position + 4]
        if following[:1] == [r"\circ"]:
            self._position += 2
            return True
        if following == ["{", r"\circ", "}"]:
            self._position += 4
            return True
        return False

    def _raised(self, base: Node) -> Node:
        if self.peek() == "-":
            self.take()
            return ("power", base, ("negative", self.atom()))
        return ("power", base, self.atom())

    def atom(self) -> Node:
        token = self.take()
        if token[-1].isdigit() and token[0] != "\\" and token.isascii():
            return ("number", Fraction(token))
        if token in ("(", "[", "{", r"\{"):
            return self._until(_CLOSING[token])
        if token in (r"\lfloor", r"\lceil"):
            return (token[1:], self._until(_CLOSING[token]))
        if token in ("|", r"\lvert", r"\vert"):
            return ("magnitude", self._until(_CLOSING.get(token, token)))
        if token in _FONT:
            return self._upright()
        if token[0] == "\\":
            return self._command(token[1:])
        if token.isalpha() and token.isascii():
            return self._name(token)
        raise Unsupported(f"{token!r} is not understood")

    def _until(self, closing: str) -> Node:
        node = self.sum()
        self.expect(closing)
        return node

    def _upright(self) -> Node:
        self.expect("{")
        token = self.take()
        self.expect("}")
        if not (token.isalpha() and token.isascii()):
            raise Unsupported("text in a formula")
        return self._name(token)

    def _command(self, name: str) -> Node:
        if name == "frac":
            fraction: Node = ("divide", self._argument(), self._argument())
            self._fraction_end = self._position
            return fraction
        if name == "binom":
            return ("binomial", self._argument(), self._argument())
        if name == "sqrt":
            return self._root()
        if name in FUNCTIONS:
            return self._function(name)
        if name in CONSTANTS:
            return ("constant", name)
        if name in _ACCENTS:
            return self._accented(_ACCENTS[name])
        if name in _GREEK:
            return self._name(_VARIANTS.get(name, name))
        raise Unsupported(f"\\{name} is not understood")

    def _accented(self, accent: str) -> Node:
        braced = self._took("{")
        letter = self.take()
        if braced:
            self.expect("}")
        if not (letter.isalpha() and letter.isascii()):
            raise Unsupported("an accent on more than a letter")
        return self._name(letter, f"{accent} {letter}")

    def _argument(self) -> Node:
        """``{...}`` or the one token that LaTeX takes."""
        return self.atom()

    def _root(self) -> Node:
        index: Node = ("number", Fraction(2))
        if self.peek() == "[":
            self.take()
            index = self._until("]")
        return ("power", self._argument(), ("divide", ("number", Fraction(1)), index))

    def _function(self, name: str) -> Node:
        base: Node | None = None
        exponent: Node | None = None
        while self.peek() in ("_", "^"):
            if self.take() == "_":
                base = self._argument()
            else:
                exponent = ("negative", self.atom()) if self._took("-") else self.atom()
        if exponent == ("negative", ("number", Fraction(1))):
            name, exponent = f"arc{name}", None
        if base is not None and name != "log":
            raise Unsupported(f"\\{name} with an index")
        self._trigonometric += name in TRIGONOMETRIC
        argument = self._function_argument()
        self._trigonometric -= name in TRIGONOMETRIC
        if name == "log":
            # Authors differ on the base of a bare log: what holds for every base is the same.
            argument = ("log", argument, base or _BARE_BASE)
        node: Node = argument if name == "log" else (name, argument)
        return node if exponent is None else ("power", node, exponent)

    def _took(self, token: str) -> bool:
        taken = self.peek() == token
        self._position += taken
        return taken

    def _function_argument(self) -> Node:
        if self.peek() in ("(", "[", "{", "|"):
            return self.postfix(self.atom())
        if self.peek() in ("+", "-"):
            return self._signed_power()
        node = self.power()
        while self._starts_factor() and self.peek() not in _OPERATORS:
            if self.peek() in ("(", "[") or self.peek()[1:] in FUNCTIONS - {"sqrt"}:
                return node
            node = self._juxtaposed(node)
        return node

    def _name(self, letter: str, accented: str = "") -> Node:
        if letter in ("e", "i") and self.peek() != "_" and not accented:
            return ("constant", letter)
        name = accented or letter
        if self.peek() == "_":
            self.take()
            name += "_" + self._index()
        while self.peek() in ("'", r"\prime") or self._prime():
            self.take()
            name += "'"
        if name == "C" and self._two_numbers():
            return self._combinations()
        if self.peek() == "(" and letter in _UNKNOWN_FUNCTIONS:
            raise Unsupported("a function without a definition")
        return ("name", name)

    def _two_numbers(self) -> bool:
        following = self._tokens[self._position : self._position + 5]
        shape = [piece if not piece.isdigit() else "1" for piece in following]
        return shape == ["(", "1", ",", "1", ")"]

    def _combinations(self) -> Node:
        """``C(8, 3)``."""
        total, chosen = self._tokens[self._position + 1], self._tokens[self._position + 3]
        self._position += 5
        return ("binomial", ("number", Fraction(total)), ("number", Fraction(chosen)))

    def _prime(self) -> bool:
        r"""Move to the ``\prime`` of ``^\prime`` or ``^{\prime}``, if there is one."""
        following = self._tokens[self._position : self._position + 4]
        if following[:2] == ["^", r"\prime"]:
            self._position += 1
            return True
        if following == ["^", "{", r"\prime", "}"]:
            self._tokens[self._position : self._position + 4] = [r"\prime"]
            return True
        return False

    def _index(self) -> str:
        first = self.take()
        if first != "{":
            return first
        index, depth = "", 1
        while depth:
            piece = self.take()
            depth += (piece == "{") - (piece == "}")
            if piece not in ("{", "}") and piece not in _FONT:
                index += piece
        return index


def _whole(node: Node) -> bool:
    return node[0] == "number" and isinstance(node[1], Fraction) and node[1].denominator == 1


def _whole_fraction(node: Node) -> bool:
    return node[0] == "divide" and all(isinstance(p, tuple) and _whole(p) for p in node[1:])
