"""The special tokens of a model folder, wherever its files state them.

They stand in ``tokenizer.json`` (``added_tokens``), in ``tokenizer_config.json`` (by name, and
``added_tokens_decoder``), in ``special_tokens_map.json`` and in ``added_tokens.json``. Which file
counts, and in which order tokens are added, is as in transformers, so that token ids are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as FastTokenizer

from vapo.model.text.tokenizer_files import NAMES, TOKENIZER_CONFIG_FILE, TokenizerError, read_json, tokenizer_class

SPECIAL_TOKENS_MAP_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
_DEFAULTS = {
    "LlamaTokenizer": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
    "Qwen2Tokenizer": dict.fromkeys(("unk_token", "eos_token", "pad_token"), "<|endoftext|>"),
    "GPT2Tokenizer": dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>"),
}
"""What a class of transformers takes for a name that no file states."""

Token = AddedToken | str


@dataclass(frozen=True)
class SpecialTokens:
    """What the files beside ``tokenizer.json`` say."""

    named: dict[str, str]
    """Name to text: ``bos_token`` and so on; a name without a token is left out."""
    added: tuple[str, ...]
    """Tokens that ``tokenizer.json`` did not have so, in the order they were added."""


def add_special_tokens(folder: Path, fast: FastTokenizer) -> SpecialTokens:
    """Read the folder's special tokens and add to ``fast`` those it lacks.

    Raises:
        TokenizerError: a file states a token in a form that is none.
    """
    try:
        return _add(folder, fast)
    except (TypeError, AttributeError, ValueError) as error:
        raise TokenizerError(f"the special tokens of {folder} cannot be read: {error}; copy the model again") from None


def _add(folder: Path, fast: FastTokenizer) -> SpecialTokens:
    settings = _converted(read_json(folder / TOKENIZER_CONFIG_FILE))
    settings = {**_DEFAULTS.get(tokenizer_class(folder), {}), **settings}
    if not settings.get("extra_special_tokens") and "additional_special_tokens" in settings:
        settings["extra_special_tokens"] = settings.pop("additional_special_tokens")
    decoder = {int(number): _token(token) for number, token in settings.get("added_tokens_decoder", {}).items()}
    if "added_tokens_decoder" not in settings:
        settings = _with_special_tokens_map(folder, settings)
        decoder = _added_tokens(folder, settings) | fast.get_added_tokens_decoder()
    named, extra = _named(settings), settings.get("extra_special_tokens") or []
    by_text = {str(token): token for token in decoder.values()}
    named |= {name: by_text.get(str(token), token) for name, token in named.items() if name in NAMES}
    extra = [] if isinstance(extra, Mapping) else [_token(token) for token in extra]
    added = _lacking(fast, decoder, named.values(), extra)
    if added:
        fast.add_tokens(added)
    fast.encode_special_tokens = bool(settings.get("split_special_tokens"))
    return SpecialTokens({name: str(token) for name, token in named.items()}, tuple(repr(token) for token in added))


def _lacking(
    fast: FastTokenizer, decoder: Mapping[int, AddedToken], named: Iterable[Token], extra: Iterable[Token]
) -> list[AddedToken]:
    have = fast.get_added_tokens_decoder().values()
    same = {repr(token) for token in have}
    added: list[Token] = [
        token for _, token in sorted(decoder.items(), key=lambda item: item[0]) if repr(token) not in same
    ]
    known = {str(token) for token in [*have, *added]}
    special = {str(token) for token in named}
    for token in [*named, *extra]:
        if str(token) not in known:
            added.append(token)
            known.add(str(token))
    return [_special(token, special) for token in added]


def _special(token: Token, named: set[str]) -> AddedToken:
    if isinstance(token, str):
        return AddedToken(token, special=True)
    if str(token) in named:
        token.special = True
    return token


def _named(settings: Mapping[str, Any]) -> dict[str, Token]:
    """The tokens that have a name, the model's own (``image_token``) among them."""
    named = {name: _token(settings[name]) for name in NAMES if settings.get(name) is not None}
    own = {
        name: token
        for name, token in settings.items()
        if name.endswith("_token") and name not in NAMES and isinstance(token, Token)
    }
    extra = settings.get("extra_special_tokens")
    return {**named, **own, **(extra if isinstance(extra, Mapping) else {})}


def _with_special_tokens_map(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    stated = read_json(folder / SPECIAL_TOKENS_MAP_FILE)
    merged = dict(settings)
    for name, value in stated.items():
        key = "extra_special_tokens" if name == "additional_special_tokens" else name
        if key == "extra_special_tokens" and isinstance(value, list):
            before = list(merged.get(key) or [])
            merged[key] = [*before, *(token for token in value if token not in before)]
        else:
            merged[key] = _token(value, special=True) if key in NAMES else value
    return merged


def _added_tokens(folder: Path, settings: Mapping[str, Any]) -> dict[int, AddedToken]:
    named = {str(settings[name]) for name in NAMES if settings.get(name)}
    extra = settings.get("extra_special_tokens") or []
    special = named | {str(_token(token)) for token in extra if not isinstance(extra, Mapping)}
    return {
        int(number): AddedToken(text, normalized=text not in special, special=text in special)
        for text, number in read_json(folder / ADDED_TOKENS_FILE).items()
    }


def _token(value: Any, special: bool | None = None) -> Any:
    """A token as the files state it: text, or the fields of an `AddedToken`."""
    if not isinstance(value, Mapping):
        if not isinstance(value, Token):
            raise TypeError(f"{value!r} is no token")
        return value
    fields = {name: field for name, field in value.items() if name != "__type"}
    return AddedToken(**({**fields, "special": True} if special else fields))


def _converted(tree: Any) -> Any:
    """The tree with each object marked as an `AddedToken` turned into one."""
    if isinstance(tree, Mapping):
        if tree.get("__type") == "AddedToken":
            return _token(tree)
        return {name: _converted(value) for name, value in tree.items()}
    return [_converted(value) for value in tree] if isinstance(tree, list) else tree
