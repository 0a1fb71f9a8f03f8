"""A look at rows without keeping them: what would be refused, and what the model would see.

Invariant: rows are judged by the very checks that take them, so what passes here is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from services.gateway.rows.all_or_none import Strictness, look_at_all
from services.gateway.rows.task_builder import TaskBuilder
from vapo.messages import Task

EXAMPLES_SHOWN = 3


def check_report(
    builder: TaskBuilder,
    rows: Iterable[tuple[int, Any]],
    check: Callable[[int, Any], Task],
    strictness: Strictness,
    examples: int = EXAMPLES_SHOWN,
) -> dict[str, Any]:
    """Counts, lengths in tokens, the first prompts as the model sees them, and what is refused.

    Raises:
        Problem: the rows cannot be read.
    """
    shown: list[dict[str, Any]] = []
    lengths: list[int] = []

    def look(number: int, value: Any) -> None:
        task = check(number, value)
        lengths.append(len(task.prompt_token_ids))
        if len(shown) < examples:
            shown.append({"row": number, "tokens": lengths[-1], "text": builder.rendered(task), "answer": task.answer})

    looked_at = look_at_all(rows, look, strictness)
    return {
        "accepted": len(lengths),
        "refused": len(looked_at.errors),
        "too_long": looked_at.too_long + sum(error.too_long for error in looked_at.errors),
        "complete": len(looked_at.errors) < strictness.max_errors,
        "largest_prompt_tokens": builder.room,
        "prompt_tokens": _spread(lengths),
        "examples": shown,
        "errors": [error.document() for error in looked_at.errors],
    }


def _spread(lengths: list[int]) -> dict[str, float] | None:
    if not lengths:
        return None
    return {"min": min(lengths), "mean": sum(lengths) / len(lengths), "max": max(lengths)}
