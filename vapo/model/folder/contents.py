"""Whether a folder holds a model, looked up before anything slow begins.

Invariants:
- only names and headers are read (and a tied output head, where one lies beside its embedding), so
  a model of any size is checked in moments;
- the index, or ``model.safetensors`` alone, says which files hold the weights; whatever else lies
  in the folder is left alone, by every part;
- a folder that passes has every tensor of the model its configuration describes, in its shape, and
  no file is cut short or a mere pointer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vapo.model.folder.agreement import check_agreement
from vapo.model.folder.form import EMBEDDING, HEAD, Shapes, check_model_type, expected_tensors, longest_sequence
from vapo.model.folder.other_kinds import ModelFolderError, refuse_folder, refuse_weights

__all__ = [
    "ModelFolderError",
    "StoredTensor",
    "check_context",
    "check_model_description",
    "check_model_folder",
    "check_tensors",
    "model_description",
    "stored_tensors",
    "tensors_in",
]

logger = logging.getLogger(__name__)

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
FLOATS = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
"""Types of weights that can be trained, in safetensors' names, and their bytes."""
HARMLESS = ("rotary_emb.inv_freq",)
"""Name endings that old checkpoints carry and no model loads."""
MODEL_NAMES = ("model.", "lm_head.")
"""Starts of the names of a model's own tensors; what is named otherwise is another head's."""


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies."""

    file: Path
    shape: tuple[int, ...]
    dtype: str
    """In safetensors' names: ``F32``, ``BF16``..."""


def check_model_folder(folder: Path, setting: str = "model.path", context_tokens: int | None = None) -> None:
    """Return when ``folder`` holds a model that can be trained.

    Args:
        setting: what names the folder, for the text.
        context_tokens: the longest sequence there will be; None asks for nothing.

    Raises:
        ModelFolderError: it is not there, or lacks its configuration or weights.
        ModelFormError: a model of a form that is not supported, or of fewer positions.
    """
    config = check_model_description(folder, setting, context_tokens)
    check_tensors(stored_tensors(folder, setting), expected_tensors(config), f"{setting}={folder}")


def check_model_description(
    folder: Path, setting: str = "model.path", context_tokens: int | None = None
) -> dict[str, Any]:
    """``config.json``, checked; for a part that does not load the weights.

    Raises:
        ModelFolderError, ModelFormError: as :func:`check_model_folder`.
    """
    config = model_description(folder, setting)
    check_model_type(config, f"{setting}={folder}")
    check_agreement(config, f"{setting}={folder}")
    if context_tokens is not None:
        check_context(config, context_tokens, f"{setting}={folder}")
    return config


def model_description(folder: Path, setting: str = "model.path") -> dict[str, Any]:
    """``config.json`` of a model's folder.

    Raises:
        ModelFolderError: the folder is none, or of another kind.
    """
    if not (folder / CONFIG).is_file():
        refuse_folder(folder, setting)
    config = _json(folder / CONFIG)
    if "model_type" not in config:
        raise ModelFolderError(f"{folder / CONFIG} names no model_type; take the whole folder of a Hugging Face model")
    return config


def check_context(config: Mapping[str, Any], tokens: int, named: str) -> None:
    """Return when the model takes sequences of ``tokens``.

    Raises:
        ModelFolderError: it has fewer positions.
        ModelFormError: its rotary angles depend on the whole sequence.
    """
    limit, reason = longest_sequence(config)
    if tokens > limit:
        raise ModelFolderError(
            f"model.max_context_tokens={tokens} is more than the {limit} tokens that {named} takes "
            f"({reason}); set model.max_context_tokens={limit} or less"
        )


def stored_tensors(folder: Path, setting: str = "model.path") -> dict[str, StoredTensor]:
    """Name to place of every tensor in the files that hold the model's weights.

    Raises:
        ModelFolderError: there are none, one cannot be read, or two claim to be the weights.
    """
    place = _weight_map(folder)
    found: dict[str, StoredTensor] = {}
    for file in _weight_files(folder, setting, place):
        for name, tensor in tensors_in(file).items():
            if name not in found or place.get(name) == file.name:
                found[name] = tensor
    return found


def check_tensors(found: Mapping[str, StoredTensor], expected: Shapes, named: str) -> None:
    """Return when ``found`` holds the ``expected`` tensors of a model.

    Raises:
        ModelFolderError: one is missing, of another shape or type, or part of another model.
    """
    missing = [name for name in expected if name not in found]
    if missing:
        raise ModelFolderError(
            f"{named} lacks {len(missing)} of the {len(expected)} tensors that its {CONFIG} "
            f"describes, e.g. {', '.join(missing[:3])}; copy the whole model again"
        )
    for name, shape in expected.items():
        _check_tensor(name, found[name], shape)
    _check_others([name for name in found if name not in expected], named)
    if HEAD in found and HEAD not in expected:
        _check_tied_head(found[HEAD], found[EMBEDDING], named)


def _check_tensor(name: str, tensor: StoredTensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise ModelFolderError(
            f"{tensor.file}: {name} has shape {list(tensor.shape)}, but {CONFIG} describes "
            f"{list(shape)}; weights and {CONFIG} are of different models: copy both again"
        )
    if tensor.dtype not in FLOATS:
        raise ModelFolderError(
            f"{tensor.file}: {name} is of type {tensor.dtype}; to be trained, "
            "weights must be float32, bfloat16 or float16: take the model "
            "unquantised"
        )


def _check_others(names: list[str], named: str) -> None:
    others = [name for name in names if not name.endswith(HARMLESS) and name != HEAD]
    wrong = [name for name in others if name.startswith(MODEL_NAMES)]
    if wrong:
        raise ModelFolderError(
            f"{named} holds {len(wrong)} tensors that its {CONFIG} does not describe, e.g. "
            f"{', '.join(wrong[:3])}; weights and {CONFIG} are of different models: copy both "
            "again"
        )
    if others:
        logger.warning("%s: tensors that are no part of the model are left out: %s", named, ", ".join(others[:5]))


def _check_tied_head(head: StoredTensor, embedding: StoredTensor, named: str) -> None:
    """A head that is said to be the embedding must be, else each library would take another."""
    if _raw(head.file, HEAD) != _raw(embedding.file, EMBEDDING):
        raise ModelFolderError(
            f"{named}: {CONFIG} says that the output head is the embedding (tie_word_embeddings), "
            f"but {HEAD} and {EMBEDDING} differ; set tie_word_embeddings to false in {CONFIG} or "
            "copy the model again"
        )


def _raw(file: Path, name: str) -> bytes:
    """A tensor's bytes; numpy, which safetensors would hand it out in, has no bfloat16."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        start, end = json.loads(stream.read(length))[name]["data_offsets"]
        stream.seek(8 + length + start)
        return stream.read(end - start)


def _weight_map(folder: Path) -> dict[str, str]:
    """Tensor to file name, as the index has it; empty without an index."""
    if not (folder / INDEX).is_file():
        return {}
    stated = _json(folder / INDEX).get("weight_map")
    if not isinstance(stated, dict) or not stated:
        raise ModelFolderError(f"{folder / INDEX} lists no files (weight_map); copy the model again")
    return {str(name): str(file) for name, file in stated.items()}


def _weight_files(folder: Path, setting: str, place: Mapping[str, str]) -> list[Path]:
    names = sorted(set(place.values()))
    if not names and not (folder / SINGLE).is_file():
        refuse_weights(folder, setting)
    if names and SINGLE not in names and (folder / SINGLE).is_file():
        raise ModelFolderError(
            f"{setting}={folder} holds {SINGLE} and an index that does not list it ({INDEX}), so "
            "there are two sets of weights; remove the one that is not meant"
        )
    return [folder / name for name in names or [SINGLE]]


def tensors_in(file: Path) -> dict[str, StoredTensor]:
    """Name to place of every tensor in one safetensors file.

    Raises:
        ModelFolderError: it is not there, or no safetensors file.
    """
    # Here, not above: the gateway's image imports this module and is without safetensors.
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as stored:
            return {
                name: StoredTensor(file, tuple(part.get_shape()), str(part.get_dtype()))
                for name in stored.keys()  # noqa: SIM118 - safe_open is not a mapping
                for part in (stored.get_slice(name),)
            }
    except FileNotFoundError:
        raise ModelFolderError(f"{file} is named in {INDEX} and not there; copy the model again") from None
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(
            f"{file} is no safetensors file ({error}); it may be cut short or a git-lfs pointer: copy the model again"
        ) from None


def _json(file: Path) -> dict[str, Any]:
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{file} cannot be read: {error}; copy the model again") from None
    return tree if isinstance(tree, dict) else {}
