r"""Answers in words: the sentence around them and the articles before them.

``an ellipse`` and ``The graph is an ellipse`` say ``ellipse``; ``No, it is not`` says ``No``.

Invariant: only where the reference is words too, and never through a negation or an alternative.
"""

from __future__ import annotations

import re

_YES_OR_NO = frozenset({"yes", "no", "true", "false"})
_FIRST_WORD = re.compile(r"([a-z]+)(?:\s?[,.;:!-]|\s(?:because|since|as|it)\s|$)")
_ARTICLE = re.compile(r"(?:(?:on|in|at)\s)?(?:(?:a|an|the)\s)?(?=\S)")
_SENTENCE = re.compile(r"[a-z' -]*\s(?:is|are|was)\s(.+)")
_DOUBT = re.compile(
    r"(?<![a-z])(?:not|no|never|or|nor|either|neither|if|isn't|aren't|maybe|perhaps|except|but)(?![a-z])|,|n't"
)
_WORDS = re.compile(r"[a-z][a-z' -]*")


def same_statement(reference: str, answer: str) -> bool:
    """Whether an answer in words says what a reference in words says.

    Args:
        reference: without text commands (:func:`services.verifier.judgement.normalisation.unwrapped`).
        answer: the same.
    """
    expected, given = (text.lower().strip(" .!") for text in (reference, answer))
    if expected in _YES_OR_NO:
        first = _FIRST_WORD.match(given)
        return first is not None and first[1] == expected
    expected = _ARTICLE.sub("", expected, count=1)
    if not _WORDS.fullmatch(expected) or len(expected) < 2 or _DOUBT.search(given):
        return False
    sentence = _SENTENCE.fullmatch(given)
    return _ARTICLE.sub("", sentence[1] if sentence else given, count=1) == expected
