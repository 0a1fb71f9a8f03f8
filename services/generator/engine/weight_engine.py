"""vLLM's side of weight publication: a worker loads a safetensors file of Hugging Face names.

Invariants:
- a load replaces every parameter of the model, or raises naming those it could not find;
- the output head of a model with tied embeddings computes with the new embeddings.

Runs inside vLLM's worker process, between ``pause_generation`` and ``resume_generation``. The
file's checksum was verified by the generator before the pause.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open
from vllm.distributed.weight_transfer.base import WeightTransferEngine, WeightTransferInitInfo, WeightTransferUpdateInfo
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from services.generator.engine.missing_parameters import missing_parameters

# A reload warns of every layer without checkpoint weights (rotary tables), at each update. What is
# missing we look up ourselves, and the canary proves the rest.
logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)


class IncompleteWeightsError(RuntimeError):
    """A weights file lacks parameters of the model."""


@dataclass
class FileInitInfo(WeightTransferInitInfo):
    """Nothing has to be agreed beforehand: every load names its file."""


@dataclass
class FileUpdateInfo(WeightTransferUpdateInfo):
    """One load."""

    path: str
    """Safetensors file, readable by every worker."""


class FileWeightTransferEngine(WeightTransferEngine[FileInitInfo, FileUpdateInfo]):
    """Loads weights from a file each worker can read."""

    init_info_cls = FileInitInfo
    update_info_cls = FileUpdateInfo
    supports_draft_weight_update = False

    def init_transfer_engine(self, init_info: FileInitInfo) -> None:
        """Nothing to set up."""

    def start_weight_update(self) -> None:
        """Prepare the layers to take weights in checkpoint form again."""
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Load the file ``update_info`` names.

        Overrides the base class, whose closing ``torch.accelerator.synchronize`` needs an
        accelerator.
        """
        self.receive_weights(self.parse_update_info(update_info))
        if self.device.type != "cpu":
            torch.accelerator.synchronize()

    def receive_weights(self, update_info: FileUpdateInfo) -> None:
        """Stream the file's tensors into the model.

        Raises:
            IncompleteWeightsError: parameters of the model are not in the file.
        """
        model: Any = self.model
        loaded = model.load_weights(_tensors(update_info.path))
        missing = missing_parameters(model, loaded, self._tied)
        if missing:
            raise IncompleteWeightsError(
                f"{update_info.path} lacks {len(missing)} parameters of the model, e.g. "
                f"{missing[:3]}; publish all of the actor under its Hugging Face names"
            )

    def finish_weight_update(self) -> None:
        """Bring the loaded weights into the form the kernels use."""
        finalize_layerwise_reload(self.model, self.model_config)
        if self._tied:
            _retie(self.model)

    def shutdown(self) -> None:
        """Nothing is held between loads."""

    @property
    def _tied(self) -> bool:
        return bool(getattr(self.model_config.hf_text_config, "tie_word_embeddings", False))


def _tensors(path: str) -> Iterator[tuple[str, torch.Tensor]]:
    with safe_open(path, framework="pt", device="cpu") as file:
        for name in file.keys():  # noqa: SIM118 - safe_open is not a mapping
            yield name, file.get_tensor(name)


def _retie(model: torch.nn.Module) -> None:
    # A reload skips the head of a tied model, and on CPU the head computes with a packed copy of
    # its own: bind it to the new embedding and pack again, else it keeps the old weights.
    heads = [layer for layer in model.modules() if isinstance(layer, ParallelLMHead)]
    embeddings = [
        layer for layer in model.modules() if isinstance(layer, VocabParallelEmbedding) and layer not in heads
    ]
    for head in heads:
        head.tie_weights(embeddings[0])
        head.quant_method.process_weights_after_loading(head)
