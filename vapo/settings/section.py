"""What all sections of the settings have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator


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
