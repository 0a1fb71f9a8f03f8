"""A model folder as a transformers model, with the very tensors its files hold.

Invariants:
- a model that is returned was filled tensor by tensor from the folder: nothing of it is fresh;
- two processes that load one folder hold equal weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import safe_open
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, PreTrainedConfig, PreTrainedModel

from vapo.model.folder.contents import CONFIG, check_model_description, check_tensors, stored_tensors
from vapo.model.folder.form import ModelFormError, expected_tensors


def load_causal_lm(folder: Path, attention: str = "sdpa") -> PreTrainedModel:
    """The causal LM in a local Hugging Face ``folder``, in float32 on the CPU.

    Args:
        attention: transformers attention implementation.

    Raises:
        ModelFolderError: the folder is none, or its tensors are not those of its configuration.
        ModelFormError: its model type is not supported.
    """
    config = load_config(folder)
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return cast(
        PreTrainedModel,
        kind.from_pretrained(
            None, config=config, state_dict=read_weights(folder), dtype=torch.float32, attn_implementation=attention
        ),
    )


def load_config(folder: Path) -> PreTrainedConfig:
    """The model's configuration, its dropout off: ratios, and the values of one critic, must not
    differ from call to call.

    Raises:
        ModelFolderError, ModelFormError: as :func:`load_causal_lm`.
    """
    check_model_description(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, attention_dropout=0.0)
    except (StrictDataclassError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelFormError(f"{folder / CONFIG} is refused by transformers: {error}; copy the model again") from None
    return cast(PreTrainedConfig, config)


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The model's tensors in float32, by their published names; nothing beside them. They are
    copies, so the files may be replaced while the model is in use.

    Raises:
        ModelFolderError, ModelFormError: as :func:`load_causal_lm`.
    """
    found, expected = stored_tensors(folder), expected_tensors(check_model_description(folder))
    check_tensors(found, expected, str(folder))
    weights: dict[str, torch.Tensor] = {}
    for file in sorted({found[name].file for name in expected}):
        with safe_open(file, framework="pt", device="cpu") as stored:
            weights |= {
                name: stored.get_tensor(name).to(torch.float32, copy=True)
                for name in expected
                if found[name].file == file
            }
    return weights
