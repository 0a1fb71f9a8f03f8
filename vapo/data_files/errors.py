"""What is wrong with a file of problems, or with one of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class DataFileError(Exception):
    """A file that cannot be read as rows; the text names the cause and the remedy."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status
        """What HTTP calls it: 413 too large, 415 a form that is not read here, else 422."""


@dataclass(eq=False)
class RowError(Exception):
    """Why one row was refused. Not frozen: whoever passes an exception on sets its traceback."""

    row: int
    """Its number, from 1; see :mod:`vapo.data_files`."""
    field: str
    message: str
    too_long: bool = False
    """Whether it is refused for its length alone."""

    def document(self) -> dict[str, Any]:
        """What a client of the gateway is told."""
        length = {"too_long": True} if self.too_long else {}
        return {"row": self.row, "field": self.field, "message": self.message, **length}

    def __str__(self) -> str:
        return f"row {self.row}, {self.field or 'row'}: {self.message}"
