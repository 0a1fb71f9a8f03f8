"""The warm-up loop: next-token cross-entropy on demonstrations.

Invariant: one epoch; each demonstration is seen once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from lab.base_model.data import IGNORED_LABEL, Batch
from lab.base_model.optimisers import build_optimisers, build_schedules
from lab.base_model.recipe import Recipe


@dataclass(frozen=True)
class Progress:
    """What one step did; loss in nats per response token."""

    step: int
    loss: float
    careful_share: float
    seconds: float


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    recipe: Recipe,
    report: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Train ``model`` in place, one optimiser step per batch."""
    optimisers = build_optimisers(model, recipe)
    schedules = build_schedules(optimisers, recipe)
    start = time.monotonic()
    model.train()
    for step, batch in enumerate(batches):
        loss = _update(model, batch, optimisers, recipe.gradient_clip)
        for schedule in schedules:
            schedule.step()
        seconds = time.monotonic() - start
        report(Progress(step + 1, loss.item(), recipe.careful_share(step), seconds))


def _update(model: nn.Module, batch: Batch, optimisers: list[Optimizer], gradient_clip: float) -> Tensor:
    loss = response_loss(model, batch)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), gradient_clip)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad()
    return loss.detach()


def response_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of the response tokens, a scalar.

    Padding is on the right, so causal attention alone keeps it out of every earlier position.
    """
    logits = model(input_ids=batch.token_ids).logits
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).to(torch.float32), batch.labels[:, 1:].flatten(), ignore_index=IGNORED_LABEL
    )
