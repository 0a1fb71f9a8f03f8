"""The critic: a transformers backbone and a value head that is always computed in full precision.

Invariants:
- V of the state before response token t is read at the position of the previous token (for t = 0
  the last prompt token); a response of L tokens has L + 1 values, the last after its last token;
- values leave in float32 (float64 for a float64 model), whatever the backbone computes in: an error
  of bfloat16 size would drown the differences of V that VAPO's advantages are made of;
- the value of a state depends on no other row: not on padding, packing or batch mates;
- weights are named as in the causal LM checkpoint (``model.`` and so on), plus
  ``value_head.weight``, ``value_head.bias`` and, of a bounded head, ``value_bounds``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, PreTrainedModel

from vapo.model.folder.loading import load_causal_lm, load_config
from vapo.model.packing import TokenSequence, pack_all
from vapo.startup import StartupError

WEIGHTS_NAME = "critic.safetensors"


class CriticError(StartupError, ValueError):
    """Critic weights do not fit the model; the text names the tensors and the remedy."""


class Critic(nn.Module):
    """V(state) for every token of a packed micro-batch."""

    def __init__(self, backbone: PreTrainedModel, bounds: tuple[float, float] | None = None) -> None:
        """Wrap ``backbone`` (a causal LM without its output head) with a zero value head.

        The zero start gives V = 0, midway between the rewards -1 and +1 (with ``bounds``: midway
        between them), and the same critic on every replica without a random number.

        Args:
            backbone: its hidden states feed the head.
            bounds: lowest and highest value; None leaves the head linear.
        """
        super().__init__()
        self.model = backbone
        # Among the weights, so that they are never read with another form of head.
        self.value_bounds: torch.Tensor | None
        self.register_buffer("value_bounds", torch.tensor(bounds) if bounds else None)
        self.value_head = nn.Linear(backbone.config.hidden_size, 1, dtype=torch.float32)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)

    def forward(self, input_ids: torch.Tensor, position_ids: torch.Tensor, state_index: torch.Tensor) -> torch.Tensor:
        """Values at ``state_index``.

        Args:
            input_ids: [R, W] int64.
            position_ids: [R, W] int64, restarting at 0 with each packed sequence.
            state_index: [N] int64, flat indices into the R * W tokens.

        Returns:
            [N] float32 (float64 for a float64 model).
        """
        output = self.model(input_ids=input_ids, position_ids=position_ids, use_cache=False)
        states = output.last_hidden_state.flatten(0, 1)[state_index]
        with torch.autocast(states.device.type, enabled=False):
            weight, bias = self.value_head.weight, self.value_head.bias
            scores = torch.mv(states.to(weight.dtype), weight[0]) + bias
            return scores if self.value_bounds is None else bounded(scores, *self.value_bounds)


def bounded(scores: torch.Tensor, low: torch.Tensor | float, high: torch.Tensor | float) -> torch.Tensor:
    """V = low + (high - low) (1/2 + arctan(score) / pi), float[N] (BPCO, arXiv 2608.23566).

    No value can then lie outside the rewards, and the arctangent's tails fall off slowly enough
    for a value near a bound to come back.
    """
    return low + (high - low) * (0.5 + torch.arctan(scores) / torch.pi)


def load_critic(
    folder: Path,
    weights: Path | Mapping[str, torch.Tensor] | None = None,
    *,
    attention: str = "sdpa",
    device: torch.device | str = "cpu",
    bounds: tuple[float, float] | None = None,
) -> Critic:
    """A float32 critic with the form of the model in ``folder``.

    Args:
        folder: local Hugging Face folder of the actor's causal LM; or a folder that
            :func:`save_critic` wrote (its ``critic.safetensors`` is then used).
        weights: a safetensors file or state with the critic's tensors; by default the backbone is
            the actor's and the value head is zero.
        attention: transformers attention implementation.
        device: where to put it.
        bounds: lowest and highest value of a bounded head (settings ``model.value_bounds``).

    Raises:
        CriticError: ``weights`` lacks or adds tensors, or shapes differ.
        ModelFolderError, ModelFormError: the folder's model cannot be used.
    """
    saved = folder / WEIGHTS_NAME
    if weights is None and saved.is_file():
        weights = saved
    if weights is None:
        causal_lm = load_causal_lm(folder, attention)
        return Critic(cast(PreTrainedModel, causal_lm.base_model), bounds).to(device)
    backbone = AutoModel.from_config(load_config(folder), dtype=torch.float32, attn_implementation=attention)
    critic = Critic(backbone, bounds)
    load_weights(critic, load_file(weights) if isinstance(weights, Path) else weights)
    return critic.to(device)


def load_weights(critic: Critic, weights: Mapping[str, torch.Tensor]) -> None:
    """Replace all weights of ``critic`` in place.

    Raises:
        CriticError: a tensor is missing, superfluous or of another shape; nothing was changed.
    """
    own = critic.state_dict()
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    wrong = [name for name in own.keys() & weights.keys() if own[name].shape != weights[name].shape]
    if missing or unknown or wrong:
        raise CriticError(
            f"critic weights do not fit this model: missing {missing[:3]}, unknown {unknown[:3]}, "
            f"of another shape {sorted(wrong)[:3]}; use weights made from the same base model"
        )
    critic.load_state_dict(dict(weights))


def save_critic(critic: Critic, folder: Path) -> None:
    """Write a folder that :func:`load_critic` reads: config.json and critic.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    critic.model.config.save_pretrained(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in critic.state_dict().items()}
    save_file(state, folder / WEIGHTS_NAME)


@torch.no_grad()
def score(critic: Critic, sequences: Sequence[TokenSequence], token_budget: int) -> list[npt.NDArray[np.float32]]:
    """Values of all states of each response.

    Args:
        critic: the model; scored as it is, on the device it lies on.
        sequences: prompts and responses.
        token_budget: tokens per forward pass, padding included.

    Returns:
        One float32 array of L + 1 values per sequence, in the order given.
    """
    device = critic.value_head.weight.device
    results: list[npt.NDArray[np.float32]] = [np.zeros(0, np.float32)] * len(sequences)
    for packed in pack_all(sequences, token_budget):
        arrays = (packed.input_ids, packed.position_ids, packed.state_index)
        values = critic(*(torch.from_numpy(array).to(device) for array in arrays)).float().cpu().numpy()
        ends = np.cumsum(packed.response_lengths + 1)[:-1]
        for index, part in zip(packed.sequences, np.split(values, ends), strict=True):
            results[index] = part.copy()
    return results
