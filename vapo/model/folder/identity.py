"""Which model a folder holds, told from tokenizer and weights without reading them whole.

Invariant: a copy of a model, however its weights are cut into files, is the same model; another
tokenizer, other tensors or other numbers in them make another one.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vapo.model.folder.contents import stored_tensors
from vapo.startup import StartupError

TOKENIZER_FILE = "tokenizer.json"
SAMPLE_BYTES = 64
"""Of each tensor's first numbers."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Two SHA-256, hex."""

    tokenizer: str
    weights: str
    """Of the tensors' names, types, shapes and first numbers."""

    def differs_in(self, other: ModelIdentity) -> str:
        """What tells them apart, in words; empty when they are one model."""
        names = {"tokenizer": "another tokenizer", "weights": "other weights"}
        return " and ".join(words for name, words in names.items() if getattr(self, name) != getattr(other, name))


def model_identity(folder: Path) -> ModelIdentity | None:
    """The identity of the model in `folder`, or None where there is none that can be read."""
    try:
        tokenizer = hashlib.sha256((folder / TOKENIZER_FILE).read_bytes()).hexdigest()
        stored = stored_tensors(folder)
        tensors = sorted(
            one
            for file in {tensor.file for tensor in stored.values()}
            for one in _tensors(file)
            if one[0] in stored and stored[one[0]].file == file
        )
    except (OSError, StartupError, ValueError, KeyError, TypeError, struct.error):
        return None
    return ModelIdentity(tokenizer, hashlib.sha256(repr(tensors).encode()).hexdigest())


def _tensors(file: Path) -> Iterator[tuple[str, str, list[int], bytes]]:
    with file.open("rb") as weights:
        (length,) = struct.unpack("<Q", weights.read(8))
        header = json.loads(weights.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                weights.seek(8 + length + start)
                sample = weights.read(min(SAMPLE_BYTES, end - start))
                yield name, entry["dtype"], entry["shape"], sample
