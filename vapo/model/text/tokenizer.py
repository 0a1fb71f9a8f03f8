"""From prompts to token ids, without torch.

Invariants:
- a prompt is tokenised once, at the door; from there on the token ids are the truth;
- the fingerprint of ``tokenizer.json``, and of the tokens that other files add to it, names the
  tokenizer: parts that disagree on it refuse to work on one run;
- token ids are those that transformers gives to the same folder, and below the model's vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer
from tokenizers.pre_tokenizers import Metaspace

from vapo.model.text.chat_template import Message, Render, renderer
from vapo.model.text.special_tokens import SpecialTokens, add_special_tokens
from vapo.model.text.tokenizer_files import (
    TOKENIZER_CONFIG_FILE,
    TokenizerError,
    chat_template_source,
    read_json,
    tokenizer_class,
)
from vapo.settings import ModelSettings

__all__ = [
    "Message",
    "PromptTokenizer",
    "TokenizerError",
    "load_tokenizer",
    "model_config",
    "policy_tokenizer",
    "tokenizer_fingerprint",
]

TOKENIZER_FILE = "tokenizer.json"
MODEL_CONFIG_FILE = "config.json"
GENERATION_CONFIG_FILE = "generation_config.json"


@dataclass(frozen=True)
class PromptTokenizer:
    """What the gateway knows of the policy's model: how to tokenise, and its limits."""

    fingerprint: str
    """SHA-256 of ``tokenizer.json`` and the tokens that other files add, hex."""
    vocabulary_size: int
    """Token ids are 0 up to (not including) this."""
    end_of_sequence_ids: tuple[int, ...]
    """Tokens that end a response."""
    fast: FastTokenizer
    render: Render | None
    """The chat template with the generation prompt, or None when the model has none."""

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation, ready for the model's next turn.

        Raises:
            TokenizerError: the model has no chat template, or the template refuses the messages.
        """
        if self.render is None:
            raise TokenizerError("the model has no chat template; send `prompt` instead of `messages`")
        return self._ids(self.render(messages), add_special_tokens=False)

    def encode_prompt(self, prompt: str, raw: bool = False) -> list[int]:
        """Token ids of one question: a user message if the model has a chat template.

        With ``raw`` or without a template the text is encoded as it stands, with the special
        tokens the tokenizer itself adds (the beginning of sequence, for some models).
        """
        if self.render is None or raw:
            return self._ids(prompt, add_special_tokens=True)
        return self.encode_messages([{"role": "user", "content": prompt}])

    def _ids(self, text: str, add_special_tokens: bool) -> list[int]:
        ids = self.fast.encode(text, add_special_tokens=add_special_tokens).ids
        if ids and max(ids) >= self.vocabulary_size:
            token = self.fast.id_to_token(max(ids))
            raise TokenizerError(
                f"the prompt holds {token!r}, token {max(ids)}, and the model has "
                f"embeddings for {self.vocabulary_size}; leave it out"
            )
        return ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of ``token_ids``, special tokens included."""
        return self.fast.decode(list(token_ids), skip_special_tokens=False)


def tokenizer_fingerprint(folder: Path) -> str:
    """SHA-256 of the folder's ``tokenizer.json`` and of the tokens that other files add to it, hex:
    what the parts of a run must agree on.

    Raises:
        TokenizerError: there is no such file, or one is malformed.
    """
    return _fingerprint(folder, add_special_tokens(folder, _parse_tokenizer(folder)))


def load_tokenizer(
    folder: Path, template_name: str | None = None, template_arguments: Mapping[str, Any] | None = None
) -> PromptTokenizer:
    """Read the tokenizer of a Hugging Face model folder.

    Args:
        template_name: which of several named chat templates (``model.chat_template_name``).
        template_arguments: values of its own names (``model.chat_template_arguments``).

    Raises:
        TokenizerError: the folder lacks ``tokenizer.json``, a file in it is malformed, or it has no
            such chat template.
    """
    fast = _parse_tokenizer(folder)
    special = add_special_tokens(folder, fast)
    known, model = fast.get_vocab(with_added_tokens=True), model_config(folder)
    return PromptTokenizer(
        fingerprint=_fingerprint(folder, special),
        vocabulary_size=min(max(known.values()) + 1, model.get("vocab_size", len(known))),
        end_of_sequence_ids=_end_of_sequence_ids(folder, fast, special),
        fast=fast,
        render=_renderer(folder, special, template_name, template_arguments or {}),
    )


def policy_tokenizer(model: ModelSettings) -> PromptTokenizer:
    """The tokenizer of a run's policy, with the chat template that its settings choose.

    Raises:
        TokenizerError: as :func:`load_tokenizer`.
    """
    return load_tokenizer(model.path, model.chat_template_name, model.chat_template_arguments)


def model_config(folder: Path) -> dict[str, Any]:
    """The language model's part of ``config.json``; empty when there is no such file."""
    config = read_json(folder / MODEL_CONFIG_FILE)
    return config.get("text_config", config)


def _tokenizer_bytes(folder: Path) -> bytes:
    try:
        return (folder / TOKENIZER_FILE).read_bytes()
    except OSError as error:
        raise TokenizerError(
            f"{folder / TOKENIZER_FILE} cannot be read ({error.strerror}); model.path must be a "
            "Hugging Face folder with a fast tokenizer. If it has another one, transformers writes "
            "the file: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        ) from None


def _parse_tokenizer(folder: Path) -> FastTokenizer:
    text = _tokenizer_bytes(folder).decode("utf-8")
    try:
        fast = FastTokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"{folder / TOKENIZER_FILE} is malformed: {error}") from None
    fast.no_truncation()
    fast.no_padding()
    if tokenizer_class(folder) == "LlamaTokenizer" and getattr(fast.model, "byte_fallback", False):
        _split_as_llama(fast, read_json(folder / TOKENIZER_CONFIG_FILE))
    return fast


def _split_as_llama(fast: FastTokenizer, settings: Mapping[str, Any]) -> None:
    """This class of transformers has spaces marked in its own way, whatever ``tokenizer.json``
    says: unless it is told otherwise, none is put before what follows a special token."""
    if settings.get("add_prefix_space", True) is False:
        scheme = "never"
    else:
        scheme = "always" if settings.get("legacy") else "first"
    cleared: Any = None
    fast.normalizer = cleared
    fast.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme=scheme, split=False)


def _fingerprint(folder: Path, special: SpecialTokens) -> str:
    digest = hashlib.sha256(_tokenizer_bytes(folder))
    for token in special.added:
        digest.update(token.encode())
    return digest.hexdigest()


def _end_of_sequence_ids(folder: Path, fast: FastTokenizer, special: SpecialTokens) -> tuple[int, ...]:
    for source in (read_json(folder / GENERATION_CONFIG_FILE), model_config(folder)):
        stated = source.get("eos_token_id")
        if stated is not None:
            return tuple(stated) if isinstance(stated, list) else (stated,)
    named = fast.token_to_id(special.named.get("eos_token", ""))
    return () if named is None else (named,)


def _renderer(folder: Path, special: SpecialTokens, name: str | None, arguments: Mapping[str, Any]) -> Render | None:
    source = chat_template_source(folder, name)
    if source is not None:
        return renderer(source, str(folder), special.named, arguments)
    if arguments:
        raise TokenizerError(
            f"model.chat_template_arguments has no effect: {folder} has no chat template; leave it out"
        )
    return None
