"""A run's policy as a plain Hugging Face folder, without torch.

Invariants:
- the folder appears complete or not at all (temporary name, fsync, rename) and replaces nothing;
- weights are copied byte for byte and only after their checksum held.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from vapo.settings import RunSettings
from vapo.tokenizer import MODEL_CONFIG_FILE
from vapo.weights import ACTOR, MANIFEST, sha256_of, version_folder

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
TORCH_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}


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


def find_source(run: RunSettings, version: int | None = None, step: int | None = None) -> Source:
    """The weights asked for; the newest checkpoint or weight version when neither is given.

    Raises:
        ExportError: there are none.
    """
    if version is not None:
        return _source("weight version", version_folder(run.weights_directory, version))
    if step is not None:
        return _source("checkpoint", run.checkpoints_directory / f"{step:08d}")
    newest = [
        *_newest("weight version", run.weights_directory),
        *_newest("checkpoint", run.checkpoints_directory),
    ]
    if not newest:
        raise ExportError(f"{run.directory} holds no checkpoint and no weight version yet")
    return max(newest, key=lambda source: (source.step, source.kind == "checkpoint"))


def write_folder(source: Source, base_model: Path, output: Path) -> None:
    """Write the policy of ``source`` with the base model's configuration and tokenizer.

    Raises:
        ExportError: ``output`` exists, the base model is not there, or the weights are damaged.
    """
    if output.exists():
        raise ExportError(f"{output} exists; choose another folder or remove it")
    if not (base_model / MODEL_CONFIG_FILE).is_file():
        raise ExportError(
            f"the base model {base_model} has no {MODEL_CONFIG_FILE}; name the folder "
            "it lies in now with --model"
        )
    if sha256_of(source.folder / ACTOR) != source.sha256:
        raise ExportError(f"{source.folder / ACTOR} does not match its manifest; it is damaged")
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    dtype = _copy_weights(source.folder / ACTOR, partial / WEIGHTS_FILE)
    _copy_description(base_model, partial, dtype)
    _sync_all(partial)
    partial.rename(output)
    _sync(output.parent)


def _source(kind: Literal["checkpoint", "weight version"], folder: Path) -> Source:
    try:
        raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        step = raw["position"]["step"] if kind == "checkpoint" else raw["step"]
        return Source(kind, folder, step, raw["files"][ACTOR]["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"no {kind} can be read at {folder}: {error!r}") from None


def _newest(kind: Literal["checkpoint", "weight version"], directory: Path) -> Iterator[Source]:
    for folder in sorted(directory.glob("[0-9]*"), key=lambda path: path.name, reverse=True):
        try:
            yield _source(kind, folder)
            return
        except ExportError:
            continue  # removed or incomplete: the one before it


def _copy_weights(source: Path, target: Path) -> str:
    """Copy a safetensors file, marked as transformers wants it; returns its torch dtype."""
    with source.open("rb") as reader, target.open("wb") as writer:
        header = _read_header(source, reader)
        header["__metadata__"] = {**header.get("__metadata__", {}), "format": "pt"}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # the tensors stay aligned to 8 bytes
        writer.write(struct.pack("<Q", len(text)) + text)
        shutil.copyfileobj(reader, writer, 1 << 20)
    return _main_dtype(header)


def _read_header(path: Path, reader: BinaryIO) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", reader.read(8))
    if length > LARGEST_HEADER_BYTES:
        raise ExportError(f"{path} is not a safetensors file")
    header: dict[str, Any] = json.loads(reader.read(length))
    return header


def _main_dtype(header: dict[str, Any]) -> str:
    sizes: dict[str, int] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            sizes[entry["dtype"]] = sizes.get(entry["dtype"], 0) + end - start
    return TORCH_NAMES[max(sizes, key=lambda dtype: sizes[dtype])]


def _copy_description(base_model: Path, target: Path, dtype: str) -> None:
    for pattern in COPIED:
        for file in base_model.glob(pattern):
            shutil.copyfile(file, target / file.name)
    config = json.loads((base_model / MODEL_CONFIG_FILE).read_text(encoding="utf-8"))
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    (target / MODEL_CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _sync_all(folder: Path) -> None:
    for file in folder.iterdir():
        _sync(file)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
