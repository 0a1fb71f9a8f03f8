"""The modules of the gateway's calls."""

from __future__ import annotations

from pathlib import Path

from services.gateway.routes import ROUTES


def test_every_module_of_calls_is_served() -> None:
    folder = Path(__file__).parents[3] / "services" / "gateway" / "routes"
    modules = {file.stem for file in folder.glob("*.py") if "\nrouter = APIRouter(" in file.read_text("utf-8")}
    assert {group.__name__.split(".")[-1] for group in ROUTES} == modules
