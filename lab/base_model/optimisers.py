"""Muon for the matrices inside the layers, AdamW for embeddings, head and norms.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", which leaves
embeddings, output head and vectors to AdamW.
"""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lab.base_model.recipe import Recipe


def build_optimisers(model: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """Two optimisers that share out the parameters of ``model``."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inside_a_layer = ".layers." in name
        (matrices if inside_a_layer and parameter.ndim == 2 else others).append(parameter)
    muon = Muon(matrices, lr=recipe.muon_learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="original")
    adamw = AdamW(others, lr=recipe.adamw_learning_rate, betas=(0.9, 0.95), weight_decay=recipe.weight_decay)
    return [muon, adamw]


def build_schedules(optimisers: list[Optimizer], recipe: Recipe) -> list[LambdaLR]:
    """The recipe's learning-rate curve on each optimiser."""
    return [LambdaLR(optimiser, recipe.learning_rate_factor) for optimiser in optimisers]
