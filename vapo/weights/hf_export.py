"""A run's policy as a plain Hugging Face folder, without torch.

Invariants:
- the folder appears complete or not at all (temporary name, fsync, rename) and replaces nothing;
- weights are copied only after their checksum held, byte for byte or rounded to the type asked for;
- what appears is a model that loads: every tensor its configuration describes, in its shape.
"""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vapo.durable import sync
from vapo.model.folder.contents import CONFIG as MODEL_CONFIG_FILE
from vapo.model.folder.contents import (
    check_model_description,
    check_model_folder,
    check_tensors,
    stored_tensors,
    tensors_in,
)
from vapo.model.folder.form import expected_tensors
from vapo.model.text.tokenizer_files import CHAT_TEMPLATE_FOLDER
from vapo.settings import RunSettings
from vapo.startup import StartupError
from vapo.weights import ACTOR, MANIFEST, sha256_of, version_folder
from vapo.weights.float_types import TORCH_NAMES, WIDTHS, converted

COPIED = (
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template.*",
    "*.tiktoken",
    "LICENSE*",
)
WEIGHTS_FILE = "model.safetensors"
LARGEST_HEADER_BYTES = 100 * 2**20
STORED_NAMES = {torch_name: stored for stored, torch_name in TORCH_NAMES.items()}


class ExportError(RuntimeError):
    """There is nothing to export, or no place for it; the text says what to do."""


@dataclass(frozen=True)
class Source:
    """Weights that can be exported."""

    kind: Literal["checkpoint", "weight version"]
    folder: Path
    step: int
    sha256: str
    """Of its actor file."""
    base_model: Path | None = None
    """Folder of the model it was trained from, where that is recorded beside the weights."""


def find_source(run: RunSettings, version: int | None = None, step: int | None = None) -> Source:
    """The weights asked for; the newest checkpoint or weight version when neither is given.

    Raises:
        ExportError: there are none.
    """
    if version is not None:
        return _source("weight version", version_folder(run.weights_directory, version))
    if step is not None:
        return _source("checkpoint", run.checkpoints_directory / f"{step:08d}")
    newest = [*_newest("weight version", run.weights_directory), *_newest("checkpoint", run.checkpoints_directory)]
    if not newest:
        raise ExportError(f"{run.directory} holds no checkpoint and no weight version yet")
    return max(newest, key=lambda source: (source.step, source.kind == "checkpoint"))


def base_model_of(source: Source, configured: Path) -> Path:
    """The folder of the model that ``source`` was trained from, as far as it is recorded and there;
    else the one that the run's settings name."""
    recorded = source.base_model
    return recorded if recorded and (recorded / MODEL_CONFIG_FILE).is_file() else configured


def write_folder(source: Source, base_model: Path, output: Path, dtype: str | None = None) -> str:
    """Write the policy of ``source`` with the base model's configuration and tokenizer.

    Args:
        dtype: torch's name of the type of the weights; None: the base model's, but none wider than
            they were trained or published in.

    Returns:
        That type.

    Raises:
        ExportError: ``output`` exists, the base model is not there or not the one the weights were
            trained from, or they are damaged.
    """
    if output.exists():
        raise ExportError(f"{output} exists; choose another folder or remove it")
    try:
        _check(source, base_model)
        partial = output.with_name(f".{output.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        chosen = STORED_NAMES[dtype] if dtype else _type_of(source, base_model)
        _write_weights(source.folder / ACTOR, partial / WEIGHTS_FILE, chosen)
        _copy_description(base_model, partial, TORCH_NAMES[chosen])
        check_model_folder(partial, "export")
    except StartupError as error:
        raise ExportError(str(error)) from None
    for path in (*partial.rglob("*"), partial):
        sync(path)
    partial.rename(output)
    sync(output.parent)
    return TORCH_NAMES[chosen]


def _check(source: Source, base_model: Path) -> None:
    """Raises ExportError or StartupError unless weights, configuration and tokenizer fit."""
    # Here, not above: `vapo export --help` works without the packages this takes.
    from vapo.model.text.tokenizer import load_tokenizer, tokenizer_fingerprint

    if not (base_model / MODEL_CONFIG_FILE).is_file():
        raise ExportError(
            f"the base model {base_model} has no {MODEL_CONFIG_FILE}; name the folder it lies in now with --model"
        )
    config = check_model_description(base_model, "the base model")
    load_tokenizer(base_model)
    actor = source.folder / ACTOR
    if sha256_of(actor) != source.sha256:
        raise ExportError(f"{actor} does not match its manifest; it is damaged")
    try:
        check_tensors(tensors_in(actor), expected_tensors(config), str(actor))
    except StartupError as error:
        raise ExportError(
            f"the weights of {source.kind} {source.folder.name} are not of the model in "
            f"{base_model}; name the folder the run was begun with by --model ({error})"
        ) from None
    trained_from = source.base_model
    if (
        trained_from
        and (trained_from / "tokenizer.json").is_file()
        and (tokenizer_fingerprint(trained_from) != tokenizer_fingerprint(base_model))
    ):
        raise ExportError(
            f"{base_model} has another tokenizer than {trained_from}, the model that {source.kind} "
            f"{source.folder.name} was trained from; name that one with --model"
        )


def _type_of(source: Source, base_model: Path) -> str:
    trained = _main_dtype(source.folder / ACTOR)
    config = check_model_description(base_model, "the base model")
    stated = STORED_NAMES.get(str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch."))
    if stated is None:
        kinds = [tensor.dtype for tensor in stored_tensors(base_model, "the base model").values()]
        stated = max(set(kinds), key=kinds.count)
    return stated if WIDTHS[stated] <= WIDTHS[trained] else trained


def _source(kind: Literal["checkpoint", "weight version"], folder: Path) -> Source:
    try:
        raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        step = raw["position"]["step"] if kind == "checkpoint" else raw["step"]
        model = raw.get("settings", {}).get("model", {}).get("path")
        return Source(kind, folder, step, raw["files"][ACTOR]["sha256"], Path(model) if model else None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"no {kind} can be read at {folder}: {error!r}") from None


def _newest(kind: Literal["checkpoint", "weight version"], directory: Path) -> Iterator[Source]:
    for folder in sorted(directory.glob("[0-9]*"), key=lambda path: path.name, reverse=True):
        try:
            yield _source(kind, folder)
            return
        except ExportError:
            continue  # removed or incomplete: the one before it


def _write_weights(source: Path, target: Path, dtype: str) -> None:
    """Write a safetensors file with all tensors in ``dtype``, marked as transformers wants it."""
    with source.open("rb") as reader, target.open("wb") as writer:
        header = _read_header(source, reader)
        begin = reader.tell()
        tensors = sorted(
            ((name, entry) for name, entry in header.items() if name != "__metadata__"),
            key=lambda item: item[1]["data_offsets"],
        )
        text = json.dumps(_new_header(header, tensors, dtype), separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the tensors stay aligned to 8 bytes
        writer.write(struct.pack("<Q", len(text)) + text)
        for name, entry in tensors:
            start, end = entry["data_offsets"]
            reader.seek(begin + start)
            try:
                writer.write(converted(reader.read(end - start), entry["dtype"], dtype))
            except OverflowError as error:
                raise ExportError(
                    f"{name} cannot be written as {TORCH_NAMES[dtype]}: {error}; choose another --dtype"
                ) from None


def _new_header(header: dict[str, Any], tensors: list[tuple[str, dict[str, Any]]], dtype: str) -> dict[str, Any]:
    new: dict[str, Any] = {"__metadata__": {**header.get("__metadata__", {}), "format": "pt"}}
    offset = 0
    for name, entry in tensors:
        start, end = entry["data_offsets"]
        size = (end - start) // WIDTHS[entry["dtype"]] * WIDTHS[dtype]
        new[name] = {"dtype": dtype, "shape": entry["shape"], "data_offsets": [offset, offset + size]}
        offset += size
    return new


def _read_header(path: Path, reader: BinaryIO) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", reader.read(8))
    if length > LARGEST_HEADER_BYTES:
        raise ExportError(f"{path} is not a safetensors file")
    header: dict[str, Any] = json.loads(reader.read(length))
    return header


def _main_dtype(path: Path) -> str:
    sizes: dict[str, int] = {}
    for tensor in tensors_in(path).values():
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + math.prod(tensor.shape)
    return max(sizes, key=lambda dtype: sizes[dtype])


def _copy_description(base_model: Path, target: Path, dtype: str) -> None:
    for pattern in COPIED:
        for file in base_model.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
    if (base_model / CHAT_TEMPLATE_FOLDER).is_dir():
        shutil.copytree(base_model / CHAT_TEMPLATE_FOLDER, target / CHAT_TEMPLATE_FOLDER)
    config = json.loads((base_model / MODEL_CONFIG_FILE).read_text(encoding="utf-8"))
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    (target / MODEL_CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
