"""What it is that was given in the place of a model's folder, and what to do about it.

Looks at names alone; called when a folder has turned out to be no model's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from vapo.startup import StartupError

CONFIG = "config.json"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
WANTED = "give the local folder of a Hugging Face model (config.json and model*.safetensors)"


class ModelFolderError(StartupError):
    """A folder is no Hugging Face model with safetensors weights; the text says what it lacks."""


def refuse_folder(folder: Path, setting: str) -> NoReturn:
    """Say what ``folder`` is instead of a folder with a ``config.json``.

    Raises:
        ModelFolderError: always.
    """
    named = f"{setting}={folder}"
    if folder.is_dir():
        raise ModelFolderError(f"{named} {_kind_of_folder(folder)}")
    if folder.is_file():
        raise ModelFolderError(f"{named} {_kind_of_file(folder)}")
    hint = ""
    if HUB_NAME.fullmatch(str(folder)):
        hint = (
            f"; if it is a model of the Hugging Face Hub, fetch it first with "
            f"`hf download {folder} --local-dir models/{folder.name}` and name that folder"
        )
    raise ModelFolderError(f"{named} is no folder here{hint or '; ' + WANTED}")


def refuse_weights(folder: Path, setting: str) -> NoReturn:
    """Say what lies in ``folder`` instead of ``model.safetensors`` or an index.

    Raises:
        ModelFolderError: always.
    """
    raise ModelFolderError(
        f"{setting}={folder} has no weights (model.safetensors, or model.safetensors.index.json "
        f"with its files); {_instead_of_weights(folder)}"
    )


def _kind_of_file(file: Path) -> str:
    if file.suffix == ".gguf":
        return (
            "is a GGUF file, which llama.cpp runs and which cannot be trained; "
            f"take the model it was made from: {WANTED}"
        )
    return f"is a file; {WANTED}"


def _kind_of_folder(folder: Path) -> str:
    if list(folder.glob("*.gguf")):
        return (
            f"has no {CONFIG}: it holds GGUF files, which llama.cpp runs and which cannot be "
            f"trained; take the model they were made from: {WANTED}"
        )
    if (folder / "params.json").is_file():
        return (
            f"has no {CONFIG}: it is in Mistral's (or Meta's) own form; take the files of the "
            f"same model in Hugging Face's form: {WANTED}"
        )
    if (folder / "adapter_config.json").is_file():
        return (
            f"has no {CONFIG}: it is a LoRA adapter; merge it into its base model "
            "(peft: merge_and_unload, save_pretrained) and give that folder"
        )
    inside = sorted(folder.glob(f"snapshots/*/{CONFIG}")) or sorted(folder.glob(f"*/{CONFIG}"))
    if inside:
        return f"has no {CONFIG}, but {inside[-1].parent} has; give that folder"
    return f"has no {CONFIG}; {WANTED}"


def _instead_of_weights(folder: Path) -> str:
    if list(folder.glob("consolidated*.safetensors")):
        return (
            "it holds them in Mistral's own form (consolidated*.safetensors) alone; take the "
            "files of Hugging Face's form too"
        )
    if list(folder.glob("model-*.safetensors")):
        return "parts of them are there without the index; copy model.safetensors.index.json too"
    if list(folder.glob("*.gguf")):
        return "GGUF files are for llama.cpp and cannot be trained; take the model they were made from"
    if list(folder.glob("adapter_model.*")):
        return "a LoRA adapter is none; merge it into its base model and give that folder"
    if any(list(folder.glob(pattern)) for pattern in PICKLED):
        return (
            "files of pickled weights (*.bin, *.pt, *.pth) are not read: load the model in "
            "transformers and save it again with save_pretrained"
        )
    return "copy them there"
