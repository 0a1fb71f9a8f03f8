"""What people read when settings are refused: the thing, the value and the remedy."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError

from vapo.settings.tree import Settings


def explain(error: ValidationError) -> str:
    """One line on everything that pydantic found; secrets are not shown, unknown keys get a hint."""
    return "; ".join(_explain_one(dict(item)) for item in error.errors())


def _explain_one(item: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        secret = "security" in path or path == "redis.url"
        hidden = secret or isinstance(item["input"], (dict, Settings))
        shown = "" if hidden else f" = {item['input']!r}"
        words = str(item["msg"]).removeprefix("Value error, ")
        return words if not path or words.startswith(f"{path}.") else f"{path}{shown}: {words}"
    known = _known_keys()
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "see `vapo config` for all keys"
    return f"unknown setting {path!r}; {hint}"


def _known_keys() -> list[str]:
    keys = []
    for section, field in Settings.model_fields.items():
        keys.append(section)
        keys.extend(f"{section}.{name}" for name in field.annotation.model_fields)  # type: ignore[union-attr]
    return keys
