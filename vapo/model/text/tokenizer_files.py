"""What lies in a model folder beside ``tokenizer.json``: settings and chat templates.

Invariants:
- files of templates (``chat_template.jinja``, ``additional_chat_templates/NAME.jinja``) come before
  those in ``tokenizer_config.json``, as in transformers;
- several named templates without a ``default`` are never passed over in silence.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vapo.startup import StartupError

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
MODEL_CONFIG_FILE = "config.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
CHAT_TEMPLATE_FOLDER = "additional_chat_templates"
NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Special tokens that have a name in every tokenizer."""
DEFAULT_TEMPLATE = "default"
_CLASS_OF_MODEL = {"qwen2": "Qwen2Tokenizer", "mistral": "TokenizersBackend"}
"""Model types whose tokenizer class transformers chooses itself, whatever the folder states."""
_CLASS_UNSTATED = {"qwen3": "Qwen2Tokenizer"}
"""Likewise, where the folder states none."""
NO_TEMPLATE = "the model folder has no chat template: prompts go to the model as they are, and `messages` are refused"


class TokenizerError(StartupError, ValueError):
    """A model folder has no usable tokenizer, or a prompt cannot be tokenised; says which."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in ``path``; empty when there is no such file.

    Raises:
        TokenizerError: it holds something else.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}") from None
    if not isinstance(tree, dict):
        raise TokenizerError(f"{path} holds a {type(tree).__name__}, not an object; copy the model again")
    return tree


def tokenizer_class(folder: Path) -> str:
    """The class of transformers that reads this folder, without ``Fast``; empty for none."""
    model = str(read_json(folder / MODEL_CONFIG_FILE).get("model_type"))
    stated = read_json(folder / TOKENIZER_CONFIG_FILE).get("tokenizer_class")
    found = stated or _CLASS_UNSTATED.get(model, "")
    return _CLASS_OF_MODEL.get(model, str(found).removesuffix("Fast"))


def chat_template_source(folder: Path, name: str | None = None) -> str | None:
    """The Jinja text of a folder's chat template; None when it has none.

    Args:
        name: which of several named ones (settings ``model.chat_template_name``).

    Raises:
        TokenizerError: there is none of that name, or there are named ones and none is chosen.
    """
    sources = _template_files(folder) or _configured_templates(folder)
    if not sources and name is None:
        return None
    wanted = DEFAULT_TEMPLATE if name is None else name
    if wanted in sources:
        return sources[wanted]
    have = f"it has {', '.join(sorted(sources))}" if sources else "it has no chat template"
    if name is None:
        raise TokenizerError(
            f"{folder} has several chat templates and none is the default; choose "
            f"one with model.chat_template_name ({have})"
        )
    raise TokenizerError(f"model.chat_template_name={name} is no chat template of {folder}; {have}")


def _template_files(folder: Path) -> dict[str, str]:
    paths = {path.name.removesuffix(".jinja"): path for path in sorted((folder / CHAT_TEMPLATE_FOLDER).glob("*.jinja"))}
    if (folder / CHAT_TEMPLATE_FILE).is_file():
        paths = {DEFAULT_TEMPLATE: folder / CHAT_TEMPLATE_FILE, **paths}
    return {name: _text(path) for name, path in paths.items()}


def _configured_templates(folder: Path) -> dict[str, str]:
    file = folder / TOKENIZER_CONFIG_FILE
    stated = read_json(file).get("chat_template")
    if stated is None:
        return {}
    if isinstance(stated, str):
        return {DEFAULT_TEMPLATE: stated}
    try:
        named = stated if isinstance(stated, dict) else {entry["name"]: entry["template"] for entry in stated}
    except (TypeError, KeyError):
        named = {None: None}
    if not all(isinstance(one, str) for pair in named.items() for one in pair):
        raise TokenizerError(
            f"{file}: chat_template is neither a text nor a list of names and templates; copy the model again"
        )
    return named


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read: {error}") from None
