"""Which parameters of a model a load has left as they were."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def missing_parameters(model: nn.Module, loaded: Iterable[str], tied: bool) -> list[str]:
    """Names of parameters that were not loaded, sorted; with ``tied`` embeddings no file has the output head."""
    missing = {name for name, _ in model.named_parameters()} - set(loaded)
    return sorted(name for name in missing if not (tied and name.startswith("lm_head.")))
