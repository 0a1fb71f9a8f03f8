"""AdamW with linear warm-up to a constant rate and a global gradient-norm limit.

Invariants:
- the rate is a function of the number of steps taken, so the schedule's state is that number;
- actor and critic each have their own optimiser and their own step count;
- weight decay reaches matrices alone: norms and biases, which have one dimension, do not decay.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from vapo.settings import TrainerSettings


def learning_rate(constant: float, warmup_steps: int, steps_taken: int) -> float:
    """Rate of the next step: linear warm-up, whose first step already moves, then ``constant``."""
    if steps_taken >= warmup_steps:
        return constant
    return constant * (steps_taken + 1) / warmup_steps


def _groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    matrices = [one for one in parameters if one.ndim >= 2]
    others = [one for one in parameters if one.ndim < 2]
    decays = ((matrices, weight_decay), (others, 0.0))
    return [{"params": group, "weight_decay": decay} for group, decay in decays if group]


class Optimiser:
    """Steps the parameters of one model."""

    def __init__(self, model: nn.Module, rate: float, settings: TrainerSettings) -> None:
        """``rate``: the constant one, actor's or critic's; all else is of ``settings``."""
        self.steps_taken = 0
        self._rate, self._settings = rate, settings
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self.adamw = torch.optim.AdamW(
            _groups(self._parameters, settings.weight_decay),
            lr=rate,
            betas=(settings.adam_beta1, settings.adam_beta2),
            fused=True,
        )

    def step(self) -> float:
        """Apply and clear the accumulated gradients.

        Returns:
            Their global L2 norm before clipping.

        Raises:
            FloatingPointError: the norm is not finite; parameters are unchanged.
        """
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.gradient_clip)
        total = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        if not total < float("inf"):
            self.adamw.zero_grad(set_to_none=True)
            raise FloatingPointError(
                f"gradient norm is {total} at optimiser step {self.steps_taken}; lower the "
                "learning rate or look for broken log-probs or rewards in this batch"
            )
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate(self._rate, self._settings.warmup_steps, self.steps_taken)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        self.steps_taken += 1
        return total
