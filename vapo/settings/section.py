"""What all sections of the settings have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Section(BaseModel):
    """Base of all sections: frozen, refuses unknown keys and numbers that are not finite, takes
    field docs from docstrings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="after")
    @classmethod
    def _home_is_understood(cls, value: Any) -> Any:
        """``~`` in a path is the home folder."""
        if not isinstance(value, Path):
            return value
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError(f"{value} names no home folder here") from None


Port = Annotated[int, Field(ge=0, le=65535, description="Port to bind; 0 picks a free one.")]


class PartSection(Section):
    """Base of the sections of parts that are served over HTTP; each has a ``port`` of its own."""

    host: str = "127.0.0.1"
    """Address to bind; beyond loopback all security tokens are required."""
    port: Port
