"""Whether a folder holds a model, looked up before anything slow begins.

Invariant: only names and headers are read, so a model of any size is checked in milliseconds; a
folder that passes has all its weight files, and none is cut short or a mere pointer to the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vapo.startup import StartupError

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
WEIGHTS = "*.safetensors"


class ModelFolderError(StartupError):
    """A folder is no Hugging Face model with safetensors weights; the text says what it lacks."""


def check_model_folder(folder: Path, setting: str = "model.path") -> None:
    """Return when ``folder`` holds a model.

    Args:
        setting: what names the folder, for the text.

    Raises:
        ModelFolderError: it is not there, or lacks its configuration or weights.
    """
    named = f"{setting}={folder}"
    if not folder.is_dir():
        raise ModelFolderError(
            f"{named} is no folder here; give the local folder of a Hugging Face model")
    if not (folder / CONFIG).is_file():
        raise ModelFolderError(
            f"{named} has no {CONFIG}; give the local folder of a Hugging Face model")
    if "model_type" not in _json(folder / CONFIG):
        raise ModelFolderError(f"{folder / CONFIG} names no model_type; take the whole folder of a "
                               "Hugging Face model")
    for file in _weight_files(folder, named):
        _check_weights(file)


def _weight_files(folder: Path, named: str) -> list[Path]:
    if (folder / INDEX).is_file():
        files = set(_json(folder / INDEX).get("weight_map", {}).values())
        return [folder / file for file in sorted(files)]
    found = sorted(folder.glob(WEIGHTS))
    if not found:
        raise ModelFolderError(f"{named} has no weights ({WEIGHTS}); copy them there. Files of "
                               "pickled weights (*.bin, *.pt) are not read: convert them")
    return found


def _check_weights(file: Path) -> None:
    # Here, not above: the gateway's image imports this module and is without safetensors.
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass
    except FileNotFoundError:
        raise ModelFolderError(
            f"{file} is named in {INDEX} and not there; copy the model again") from None
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{file} is no safetensors file ({error}); it may be cut short or a "
                               "git-lfs pointer: copy the model again") from None


def _json(file: Path) -> dict[str, Any]:
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{file} cannot be read: {error}; copy the model again") from None
    return tree if isinstance(tree, dict) else {}
