"""Numbers of one type written as another, against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vapo.weights.float_types import TORCH_NAMES, WIDTHS, converted

KINDS = st.sampled_from(sorted(WIDTHS))
NUMBERS = st.lists(
    st.floats(-6e4, 6e4) | st.sampled_from([0.0, -0.0, 1e-8, 6e-8, 1.00390625, 1.01171875, float("inf"), float("nan")]),
    max_size=20,
)


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.view(torch.uint8).numpy().tobytes()


@given(KINDS, KINDS, NUMBERS)
@settings(max_examples=300, deadline=None)
def test_as_torch_does(before: str, after: str, numbers: list[float]) -> None:
    tensor = torch.tensor(numbers, dtype=torch.float64).to(getattr(torch, TORCH_NAMES[before]))
    kind = getattr(torch, TORCH_NAMES[after])
    written = (
        torch.frombuffer(bytearray(converted(raw(tensor), before, after)), dtype=kind)
        if (numbers)
        else torch.empty(0, dtype=kind)
    )
    assert torch.equal(written.nan_to_num(1.5), tensor.to(kind).nan_to_num(1.5))
    assert torch.equal(written.isnan(), tensor.isnan())


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [("F32", "F16", 7e4), ("BF16", "F16", -1e30), ("F64", "BF16", 1e60), ("F64", "F32", 1e300)],
)
def test_what_the_type_cannot_hold_is_refused(before: str, after: str, value: float) -> None:
    tensor = torch.tensor([1.0, value], dtype=getattr(torch, TORCH_NAMES[before]))
    with pytest.raises(OverflowError, match="beyond the largest"):
        converted(raw(tensor), before, after)
    assert np.isfinite(value)
