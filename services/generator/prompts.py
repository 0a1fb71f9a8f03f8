"""Which prompts the engine can take; checked before they reach it, over HTTP and from the queue."""

from __future__ import annotations

from collections.abc import Sequence


class PromptError(ValueError):
    """A prompt that cannot be answered; the text names value and remedy."""


def check_prompt(token_ids: Sequence[int], context_tokens: int, vocabulary_size: int) -> None:
    """Raise PromptError unless there is a prompt of known tokens with room for one new token."""
    if not token_ids:
        raise PromptError("the prompt is empty; give at least one token")
    if len(token_ids) >= context_tokens:
        raise PromptError(
            f"the prompt has {len(token_ids)} tokens, the model's context "
            f"{context_tokens} (model.max_context_tokens); shorten it by at least "
            f"{len(token_ids) - context_tokens + 1}"
        )
    unknown = [token_id for token_id in token_ids if not 0 <= token_id < vocabulary_size]
    if unknown:
        raise PromptError(
            f"token id {unknown[0]} is not in the vocabulary of {vocabulary_size}; tokenize with the run's tokenizer"
        )
