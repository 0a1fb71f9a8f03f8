"""Warm-up, clipping and step counting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.support.trainer_cases import FORMS, tiny_critic, tiny_policy, trainer_settings
from trainer.learning.optimiser import Optimiser, learning_rate


def test_rate_warms_up_linearly_and_stays() -> None:
    assert [learning_rate(0.8, 4, step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert learning_rate(0.8, 0, 0) == 0.8


def test_step_matches_plain_adamw_on_the_clipped_gradient() -> None:
    torch.manual_seed(0)
    model, plain = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    plain.load_state_dict(model.state_dict())
    settings = trainer_settings(adam_beta1=0.8, adam_beta2=0.9, weight_decay=0.01, gradient_clip=0.5)
    ours = Optimiser(model, 0.1, settings)
    theirs = torch.optim.AdamW(
        [{"params": [plain.weight], "weight_decay": 0.01}, {"params": [plain.bias], "weight_decay": 0.0}],
        lr=0.1,
        betas=(0.8, 0.9),
    )
    for _ in range(3):
        inputs = torch.randn(5, 3, dtype=torch.float64)
        for one in (model, plain):
            one(inputs).square().sum().backward()
        norm = ours.step()
        gradient = torch.cat([p.grad.flatten() for p in plain.parameters()])
        assert norm == pytest.approx(float(gradient.norm()))
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        theirs.step()
        theirs.zero_grad()
        for one, other in zip(model.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other)
    assert ours.steps_taken == 3
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [tiny_policy, tiny_critic])
def test_only_matrices_decay(make: Callable[[str], nn.Module], form: str) -> None:
    model = make(form)
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    optimiser = Optimiser(model, 0.1, trainer_settings(weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, parameter in model.named_parameters():
        kept = "norm" in name or name.endswith("bias")
        torch.testing.assert_close(parameter.detach(), before[name] * (1.0 if kept else 0.95))


def test_an_infinite_gradient_changes_nothing() -> None:
    model = nn.Linear(2, 1)
    before = model.weight.clone()
    model.weight.grad = torch.full_like(model.weight, float("inf"))
    optimiser = Optimiser(model, 0.1, trainer_settings())
    with pytest.raises(FloatingPointError, match="inf"):
        optimiser.step()
    assert torch.equal(model.weight, before)
    assert optimiser.steps_taken == 0
