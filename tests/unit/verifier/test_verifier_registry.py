"""The verifiers that a task may name."""

from __future__ import annotations

import re
from pathlib import Path

from services.verifier.registry import BUILT_IN
from vapo.settings import Settings

VerifierSettings = type(Settings().verifier)


def test_the_page_names_every_built_in_verifier() -> None:
    page = (Path(__file__).parents[3] / "docs" / "verifier.md").read_text("utf-8")
    sentence = page.split("Built in: ")[1].split("Packages add")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == BUILT_IN.keys(), "docs/verifier.md, Verifiers by name"


def test_the_page_names_every_setting_of_the_verifier() -> None:
    page = (Path(__file__).parents[3] / "docs" / "verifier.md").read_text("utf-8")
    missing = [name for name in VerifierSettings.model_fields if not re.search(rf"`(verifier\.)?{name}\b", page)]
    assert missing == [], "docs/verifier.md, Rewards or Hostile input"
