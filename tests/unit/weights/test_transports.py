"""The table of weight transports."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from vapo.settings import Settings
from vapo.settings.transports import TRANSPORTS
from vapo.weights.from_settings import MAKERS


def test_every_transport_has_facts_and_a_maker() -> None:
    names = get_args(type(Settings().weights).model_fields["transport"].annotation)
    assert set(names) == TRANSPORTS.keys() == MAKERS.keys()


@pytest.mark.parametrize("name", TRANSPORTS)
def test_the_page_names_every_transport(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "architecture.md").read_text("utf-8")
    assert f"\n- `{name}`: " in page.split("\n## Weights\n")[1].split("\n## ")[0], "docs/architecture.md, Weights"
