"""vLLM's loading of the base model: the tensors of the model's folder, and no other file of it.

vLLM's own loaders take every ``*.safetensors`` that lies there, or ``consolidated*.safetensors``
before all others; the trainer and the critic read what the index lists, and so does this.

Invariant: every parameter of the model comes from the folder, or loading fails and names one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import nn
from vllm.config import ModelConfig
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.base_loader import BaseModelLoader

from services.generator.engine.missing_parameters import missing_parameters
from services.generator.engine.weight_plugin import LOAD_FORMAT
from vapo.model.folder.contents import model_description, stored_tensors
from vapo.model.folder.form import expected_tensors, is_tied


class FolderLoader(BaseModelLoader):
    """Chosen with ``load_format``."""

    def download_model(self, model_config: ModelConfig) -> None:
        """Nothing is fetched: the folder is local."""

    def load_weights(self, model: nn.Module, model_config: ModelConfig) -> None:
        """Fill ``model``.

        Raises:
            RuntimeError: a parameter of the model is not in the folder.
        """
        folder = Path(model_config.model)
        loaded = cast(Any, model).load_weights(_tensors(folder))
        missing = missing_parameters(model, loaded, is_tied(model_description(folder)))
        if missing:
            raise RuntimeError(f"{folder} lacks parameters of the model: {missing[:3]}")


def _tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    found, expected = stored_tensors(folder), expected_tensors(model_description(folder))
    for file in sorted({found[name].file for name in expected}):
        with safe_open(file, framework="pt", device="cpu") as stored:
            for name in expected:
                if found[name].file == file:
                    yield name, stored.get_tensor(name)


register_model_loader(LOAD_FORMAT)(FolderLoader)
