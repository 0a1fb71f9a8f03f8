"""The critic this process holds, and what is known of its weights.

Invariants: used by one thread at a time (:mod:`services.value.scorer`); weights are replaced whole
or not at all; version 0 is the base model with a zero value head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from vapo.messages import Floats
from vapo.model.critic import load_critic, load_weights, score
from vapo.model.folder.contents import model_description
from vapo.model.folder.form import longest_sequence
from vapo.model.packing import TokenSequence
from vapo.weights import CRITIC, Manifest


class UnfitTokens(ValueError):
    """Token ids that this model cannot read; the text names the number and the limit."""


@dataclass(frozen=True)
class CriticVersion:
    """Which weights are in use."""

    version: int = 0
    step: int = 0
    sha256: str | None = None
    """Of the published file; None for the base model."""


@dataclass(frozen=True)
class PreparedWeights:
    """A version read into memory, ready to be put in place."""

    version: CriticVersion
    tensors: dict[str, torch.Tensor]


class Replica:
    """A float32 critic on one device."""

    def __init__(
        self,
        model_folder: Path,
        token_budget: int,
        bounds: tuple[float, float] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the base model.

        Args:
            model_folder: the actor's Hugging Face folder.
            token_budget: tokens per forward pass, padding included.
            bounds: lowest and highest value; None for a linear head.
            device: where to put it.
        """
        self._critic = load_critic(model_folder, device=device, bounds=bounds).eval()
        self._token_budget = token_budget
        self.version = CriticVersion()
        config = self._critic.model.config
        self.vocabulary_size = int(config.vocab_size)
        self.context_tokens, _ = longest_sequence(model_description(model_folder))

    def check(self, sequence: TokenSequence) -> None:
        """Raises UnfitTokens when ``sequence`` is empty, too long or has unknown token ids."""
        if sequence.prompt.size == 0 or sequence.response.size == 0:
            raise UnfitTokens("prompt and response need at least one token each")
        if sequence.length > self.context_tokens:
            raise UnfitTokens(f"{sequence.length} tokens; the critic's context is {self.context_tokens}")
        lowest = int(min(sequence.prompt.min(), sequence.response.min()))
        highest = int(max(sequence.prompt.max(), sequence.response.max()))
        if lowest < 0 or highest >= self.vocabulary_size:
            raise UnfitTokens(f"token ids from {lowest} to {highest}; the vocabulary has {self.vocabulary_size}")

    def score(self, sequences: Sequence[TokenSequence]) -> list[Floats]:
        """L + 1 values of each sequence (:func:`vapo.model.critic.score`)."""
        return score(self._critic, sequences, self._token_budget)

    def install(self, prepared: PreparedWeights) -> None:
        """Replace the weights. Raises CriticError, and changes nothing, when they do not fit."""
        load_weights(self._critic, prepared.tensors)
        self.version = prepared.version


def prepare(folder: Path, manifest: Manifest) -> PreparedWeights:
    """Read a fetched and verified version's critic. Raises KeyError when it holds none."""
    entry = manifest.files[CRITIC]
    version = CriticVersion(manifest.version, manifest.step, entry.sha256)
    return PreparedWeights(version, load_file(folder / CRITIC))
