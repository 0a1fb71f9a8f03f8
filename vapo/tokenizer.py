"""From prompts to token ids, without torch.

Invariants:
- a prompt is tokenised once, at the door; from there on the token ids are the truth;
- the fingerprint of ``tokenizer.json`` names the tokenizer: parts that disagree on it refuse to
  work on one run;
- a chat template runs sandboxed, with the names and functions Hugging Face templates rely on.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer as FastTokenizer

from vapo.startup import StartupError

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
MODEL_CONFIG_FILE = "config.json"
GENERATION_CONFIG_FILE = "generation_config.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")

Message = Mapping[str, Any]
"""One chat message: ``role`` and ``content``."""


class TokenizerError(StartupError, ValueError):
    """A model folder has no usable tokenizer, or a prompt cannot be tokenised; says which."""


@dataclass(frozen=True)
class PromptTokenizer:
    """What the gateway knows of the policy's model: how to tokenise, and its limits."""

    fingerprint: str
    """SHA-256 of ``tokenizer.json``, hex."""
    vocabulary_size: int
    """Token ids are 0 up to (not including) this."""
    context_tokens: int | None
    """Longest sequence the model's configuration allows; None when it does not say."""
    end_of_sequence_ids: tuple[int, ...]
    """Tokens that end a response."""
    fast: FastTokenizer
    render: Callable[[Sequence[Message]], str] | None
    """The chat template with the generation prompt, or None when the model has none."""

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation, ready for the model's next turn.

        Raises:
            TokenizerError: the model has no chat template, or the template refuses the messages.
        """
        if self.render is None:
            raise TokenizerError(
                "the model has no chat template; send `prompt` instead of `messages`"
            )
        return self.fast.encode(self.render(messages), add_special_tokens=False).ids

    def encode_prompt(self, prompt: str, raw: bool = False) -> list[int]:
        """Token ids of one question: a user message if the model has a chat template.

        With ``raw`` or without a template the text is encoded as it stands, with the special
        tokens the tokenizer itself adds (the beginning of sequence, for some models).
        """
        if self.render is None or raw:
            return self.fast.encode(prompt).ids
        return self.encode_messages([{"role": "user", "content": prompt}])

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of ``token_ids``, special tokens included."""
        return self.fast.decode(list(token_ids), skip_special_tokens=False)


def tokenizer_fingerprint(folder: Path) -> str:
    """SHA-256 of the folder's ``tokenizer.json``, hex: what the parts of a run must agree on.

    Raises:
        TokenizerError: there is no such file.
    """
    return hashlib.sha256(_tokenizer_bytes(folder)).hexdigest()


def load_tokenizer(folder: Path) -> PromptTokenizer:
    """Read the tokenizer of a Hugging Face model folder.

    Raises:
        TokenizerError: the folder lacks ``tokenizer.json``, or a file in it is malformed.
    """
    fast = _parse_tokenizer(folder)
    settings, model = _read_json(folder / TOKENIZER_CONFIG_FILE), model_config(folder)
    known = fast.get_vocab(with_added_tokens=True)
    embedded = model.get("vocab_size", len(known))
    return PromptTokenizer(
        fingerprint=tokenizer_fingerprint(folder),
        vocabulary_size=min(max(known.values()) + 1, embedded),
        context_tokens=model.get("max_position_embeddings"),
        end_of_sequence_ids=_end_of_sequence_ids(folder, fast, settings),
        fast=fast,
        render=_renderer(folder, settings),
    )


def model_config(folder: Path) -> dict[str, Any]:
    """The language model's part of ``config.json``; empty when there is no such file."""
    config = _read_json(folder / MODEL_CONFIG_FILE)
    return config.get("text_config", config)


def _tokenizer_bytes(folder: Path) -> bytes:
    try:
        return (folder / TOKENIZER_FILE).read_bytes()
    except OSError as error:
        raise TokenizerError(
            f"{folder / TOKENIZER_FILE} cannot be read ({error.strerror}); model.path must be a "
            "Hugging Face folder with a fast tokenizer"
        ) from None


def _parse_tokenizer(folder: Path) -> FastTokenizer:
    text = _tokenizer_bytes(folder).decode("utf-8")
    try:
        fast = FastTokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"{folder / TOKENIZER_FILE} is malformed: {error}") from None
    fast.no_truncation()
    fast.no_padding()
    return fast


def _end_of_sequence_ids(
    folder: Path, fast: FastTokenizer, settings: Mapping[str, Any]
) -> tuple[int, ...]:
    for source in (_read_json(folder / GENERATION_CONFIG_FILE), model_config(folder)):
        stated = source.get("eos_token_id")
        if stated is not None:
            return tuple(stated) if isinstance(stated, list) else (stated,)
    named = fast.token_to_id(_token_text(settings.get("eos_token")))
    return () if named is None else (named,)


def _renderer(
    folder: Path, settings: Mapping[str, Any]
) -> Callable[[Sequence[Message]], str] | None:
    source = _template_source(folder, settings)
    if source is None:
        return None
    names = {name: _token_text(settings.get(name)) for name in SPECIAL_TOKENS}
    try:
        template = _environment().from_string(source)
    except TemplateError as error:
        raise TokenizerError(f"the chat template of {folder} is malformed: {error}") from None

    def render(messages: Sequence[Message]) -> str:
        try:
            return template.render(
                messages=messages, add_generation_prompt=True, tools=None, documents=None, **names
            )
        except (TemplateError, TypeError, KeyError) as error:
            raise TokenizerError(
                f"the model's chat template refuses the messages: {error}"
            ) from None

    return render


def _template_source(folder: Path, settings: Mapping[str, Any]) -> str | None:
    path = folder / CHAT_TEMPLATE_FILE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    stated = settings.get("chat_template")
    if isinstance(stated, list):  # several named templates
        named = {entry["name"]: entry["template"] for entry in stated}
        return named.get("default")
    return stated


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


def _token_text(token: str | Mapping[str, Any] | None) -> str:
    return token.get("content", "") if isinstance(token, Mapping) else token or ""


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}") from None
