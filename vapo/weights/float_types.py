"""Numbers of one safetensors type as those of another, without torch.

Invariant: a value that both types can hold stays the same; others are rounded to the nearest, ties
to even, as torch does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TORCH_NAMES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""safetensors' names of the types, and torch's."""
WIDTHS = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
"""Bytes of a number."""


def converted(raw: bytes, before: str, after: str) -> bytes:
    """Little-endian numbers of type ``before`` as those of type ``after``.

    Raises:
        OverflowError: a finite value is beyond the largest of ``after``.
    """
    if before == after:
        return raw
    values = _read(raw, before)
    with np.errstate(over="ignore"):
        result = _bfloat16(values) if after == "BF16" else values.astype(_dtype(after)).tobytes()
    if WIDTHS[after] < WIDTHS[before] or after == "F16":
        _check_range(values, _read(result, after))
    return result


def _read(raw: bytes, kind: str) -> npt.NDArray[np.floating]:
    if kind != "BF16":
        return np.frombuffer(raw, _dtype(kind))
    halves = np.frombuffer(raw, "<u2").astype("<u4") << 16
    return halves.view("<f4")


def _dtype(kind: str) -> np.dtype[np.floating]:
    return np.dtype(f"<f{WIDTHS[kind]}")


def _bfloat16(values: npt.NDArray[np.floating]) -> bytes:
    bits = values.astype("<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet_nan = (bits >> 16) | 0x40
    return np.where(np.isnan(values), quiet_nan, rounded).astype("<u2").tobytes()


def _check_range(before: npt.NDArray[np.floating], after: npt.NDArray[np.floating]) -> None:
    lost = np.isfinite(before) & ~np.isfinite(after)
    if lost.any():
        raise OverflowError(f"{before[lost][0]:g} is beyond the largest number of the type")
