"""The actor: a transformers causal LM that yields log-probs of given tokens, never all logits.

Invariants:
- written once for CPU (float32) and CUDA (bfloat16 compute, float32 master weights);
- log-probs are of the tempered distribution, since that is what the generator samples from;
- the output head runs only where a response token is predicted, in chunks whose logits are
  recomputed in the backward pass, so memory does not grow with vocabulary times tokens;
- log-probs and entropy leave in float32 (float64 for a float64 model).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from trainer.learning.micro_batches import MicroBatch
from vapo.model.folder.loading import load_causal_lm

LOGIT_CHUNK_ELEMENTS = 2**24
"""Logits held at a time: 64 MiB of float32 (our choice)."""


class TokenScores(NamedTuple):
    """What the actor says of the N response tokens of a micro-batch.

    A tuple, so that FSDP finds the tensors in it and hooks their backward pass.
    """

    log_probs: Tensor
    """float32[N] of the tempered distribution."""
    entropy: Tensor
    """float32[N] of the same distribution, nats; without gradient unless asked for."""


class Policy(nn.Module):
    """The actor. Its transformers model is ``causal_lm``."""

    def __init__(self, causal_lm: PreTrainedModel, entropy_gradient: bool = False) -> None:
        """
        Args:
            causal_lm: model with an output head.
            entropy_gradient: let gradients flow through the entropy (for an entropy bonus).
        """
        super().__init__()
        self.causal_lm = causal_lm
        self.entropy_gradient = entropy_gradient
        self.chunk_elements = LOGIT_CHUNK_ELEMENTS

    def forward(self, batch: MicroBatch) -> TokenScores:
        """Log-prob and entropy at every response token of ``batch``, float32[N] each."""
        output = self.causal_lm.base_model(input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False)
        states = output.last_hidden_state.flatten(0, 1)[batch.action_index]
        size = max(1, self.chunk_elements // self.causal_lm.config.vocab_size)
        if len(states) <= size:
            return TokenScores(*self._score(states, batch.actions, batch.temperatures))
        scores = [
            checkpoint(self._score, *piece, use_reentrant=False)
            for piece in zip(
                *(_split(tensor, size, len(states)) for tensor in (states, batch.actions, batch.temperatures)),
                strict=True,
            )
        ]
        return TokenScores(*(torch.cat(parts) for parts in zip(*scores, strict=True)))

    def _score(self, states: Tensor, actions: Tensor, temperatures: Tensor | None) -> tuple[Tensor, Tensor]:
        logits = self.causal_lm.get_output_embeddings()(states)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if temperatures is not None:
            logits = logits / temperatures[:, None]
        log_probs = -functional.cross_entropy(logits, actions, reduction="none")
        with nullcontext() if self.entropy_gradient else torch.no_grad():
            return log_probs, _entropy(logits)


def _split(tensor: Tensor | None, size: int, length: int) -> Sequence[Tensor | None]:
    return tensor.split(size) if tensor is not None else [None] * -(-length // size)


def _entropy(logits: Tensor) -> Tensor:
    """H of softmax(logits) along the last axis, nats; 0 log 0 = 0 even for logits of -inf."""
    log_probs = functional.log_softmax(logits, dim=-1)
    return torch.special.entr(log_probs.exp()).sum(-1)


def load_policy(
    folder: Path,
    *,
    attention: str = "sdpa",
    gradient_checkpointing: bool = False,
    entropy_gradient: bool = False,
    device: torch.device | str = "cpu",
) -> Policy:
    """The causal LM in a local Hugging Face ``folder``, in float32, ready to train.

    Raises:
        ModelFolderError, ModelFormError: the folder's model cannot be used.
    """
    causal_lm = load_causal_lm(folder, attention)
    if gradient_checkpointing:
        enable_gradient_checkpointing(causal_lm)
    causal_lm.train()
    return Policy(causal_lm, entropy_gradient).to(device)


def enable_gradient_checkpointing(model: PreTrainedModel) -> None:
    """Recompute each layer's activations in the backward pass; needs training mode."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
