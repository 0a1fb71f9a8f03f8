"""The mathematics of the verifier: a library of three public names (README.md beside this file).

- :class:`MathVerifier` judges mathematical answers;
- :func:`extract` reads the answer out of a response;
- :mod:`verdicts` is what a judgement can say, in the words that every verifier uses.

Invariant: it imports nothing of the service, and no one imports its other modules.
"""

from services.verifier.judgement import verdicts
from services.verifier.judgement.extraction import extract
from services.verifier.judgement.math_verifier import MathVerifier

__all__ = ["MathVerifier", "extract", "verdicts"]
