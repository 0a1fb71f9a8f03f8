"""The README of a base checkpoint: what it is, how it was made, what was measured."""

from __future__ import annotations

import shlex
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from lab.base_model.measurement import Measurement
from lab.base_model.recipe import Recipe

_CARD = """\
---
license: apache-2.0
---
# Base checkpoint of the demo: chain arithmetic

A character-level language model of the Qwen3 form ({parameters:,} parameters, float32, untied
embeddings, 99 tokens), trained from scratch on demonstrations of chains of additions and
subtractions with {terms} terms. It answers `58+48-29=?` with one line per partial sum and the
result in `\\boxed{{}}`:

```
58+48: 8+8=16 5+4+1=10 106
106-29=87
\\boxed{{87}}
```

Two styles of line were shown. *Careful* lines write both columns out (the first above) and are
always right; *in-head* lines give only the result and are often wrong (the second above: a
dropped borrow): {dropped_carry:.0%} of carries and borrows dropped, {slip:.0%} of results off by
one. The share of careful lines starts at {careful_share_at_start:.0%}, so that the
arithmetic is learnt, and ends at {careful_share_at_end:.0%}, so that the model
seldom takes the trouble. Most of what reinforcement learning adds is therefore the habit of
writing the work out, which the model already can do; the rest is fewer slips in the arithmetic.

## Made by

```
{command}
```

One thread, {seconds:.0f} s. The same command on the same machine and library versions gives the
same weights. Problems of the warm-up, of training and of the held-out set are disjoint: the
SHA-256 of a problem's text decides its split.

{recipe}

## Measured

{measured}
"""


_NOT_OPTIONS = ("seed", "in_head_errors", "shape")
"""Fields that the command line names always, or never."""


def write_card(folder: Path, recipe: Recipe, measured: dict[str, Measurement], parameters: int, seconds: float) -> None:
    """Write ``README.md`` into ``folder``."""
    text = _CARD.format(
        parameters=parameters,
        seconds=seconds,
        terms=f"{min(recipe.terms)} to {max(recipe.terms)}",
        dropped_carry=recipe.in_head_errors.dropped_carry,
        slip=recipe.in_head_errors.slip,
        careful_share_at_start=recipe.careful_share_at_start,
        careful_share_at_end=recipe.careful_share_at_end,
        command=_command(recipe, folder),
        recipe=_recipe_table(recipe),
        measured=_measurement_table(measured),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _command(recipe: Recipe, folder: Path) -> str:
    """The command line that gives ``recipe``: only what differs from the defaults is named."""
    words, defaults = ["vapo", "base-model", "--out", folder.name, "--seed", str(recipe.seed)], Recipe()
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if field.name in _NOT_OPTIONS or value == getattr(defaults, field.name):
            continue
        flag = "--" + field.name.replace("_", "-")
        words += [flag, *map(str, value if isinstance(value, tuple | list) else [value])]
    return shlex.join(words)


def _recipe_table(recipe: Recipe) -> str:
    rows = [f"| `{name}` | {value} |" for name, value in _flattened(asdict(recipe)).items()]
    return "\n".join(["| recipe | |", "|---|---|", *rows])


def _flattened(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= _flattened(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _measurement_table(measured: dict[str, Measurement]) -> str:
    if not measured:
        return "Nothing was measured."
    rows = [f"| {name} | {one.accuracy:.3f} | {one.mean_length:.0f} |" for name, one in measured.items()]
    header = ["| held-out problems | accuracy | mean length (characters) |", "|---|---|---|"]
    return "\n".join([*header, *rows])
