"""How well the critic predicts the rewards of the responses it scores, as they arrive.

Invariant: rewards never reach the critic; they are only compared with its values afterwards. A
state's value predicts the return that follows it (gamma = 1: the response's reward).
"""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from vapo.messages import Floats

WINDOW_RESPONSES = 512


class Calibration:
    """Explained variance and bias over the last responses. Thread-safe."""

    def __init__(self) -> None:
        self._sums: deque[tuple[float, float, float, float, float]] = deque(maxlen=WINDOW_RESPONSES)
        self._lock = threading.Lock()

    def add(self, values: Floats, reward: float) -> None:
        """Note a response's values before each of its L tokens, float32 [L], and its reward."""
        errors = reward - values.astype(np.float64)
        count = float(values.size)
        row = (count, count * reward, count * reward**2, errors.sum(), float(errors @ errors))
        with self._lock:
            self._sums.append(row)

    def read(self) -> dict[str, float]:
        """``bias``: mean of value - return; ``explained_variance``: 1 - Var(error) / Var(return).

        Empty before the first response; without explained variance while all returns are equal.
        """
        with self._lock:
            rows = list(self._sums)
        if not rows:
            return {}
        count, returns, squares, error, error_squares = np.array(rows).sum(axis=0)
        found = {"bias": float(-error / count)}
        variance = squares / count - (returns / count) ** 2
        if variance > 0:
            residual = error_squares / count - (error / count) ** 2
            found["explained_variance"] = float(1 - residual / variance)
        return found
