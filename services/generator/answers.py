"""What ``/v1/generate`` answers: token ids, log-probs and weight versions.

Invariant: every answer says under which weight version it was sampled (``weight_version``: the
newest of its tokens').
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from services.generator.engine.samples import Completion


def newest_version(completions: Sequence[Completion]) -> int:
    """Newest weight version any token was sampled under."""
    return max(span.version for completion in completions for span in completion.version_spans)


def generate_answer(model: str, completions: Sequence[Completion], texts: Sequence[str]) -> dict[str, Any]:
    """Body of ``/v1/generate``."""
    responses = [
        {
            "token_ids": completion.token_ids,
            "log_probs": completion.log_probs,
            "version_spans": [asdict(span) for span in completion.version_spans],
            "finish_reason": completion.finish_reason,
            "text": text,
            "cached_prompt_tokens": completion.cached_prompt_tokens,
        }
        for completion, text in zip(completions, texts, strict=True)
    ]
    return {"model": model, "weight_version": newest_version(completions), "responses": responses}
