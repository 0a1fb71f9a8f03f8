"""Full, unsharded tensors of models and optimisers, whatever number of ranks they are spread over.

Invariants: the same names and values come out for any number of ranks, so a checkpoint written by
one rank resumes on four; every rank must call these functions (they communicate when sharded), and
each looks every tensor of a state up once, in the model's own order, so that a look-up may be a
broadcast (:mod:`trainer.ranks.shared_file`). A rank that has no use for a state passes ``keep=False``: it
takes part tensor by tensor and is left with none, since a host of eight ranks could not hold eight
copies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from trainer.learning.optimiser import Optimiser
from trainer.learning.policy import Policy
from vapo.model.critic import Critic

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""AdamW's state of one parameter."""


def policy_state_dict(policy: Policy, keep: bool = True) -> dict[str, Tensor]:
    """Weights under their Hugging Face names, on the CPU; a tied output head is left out."""
    return _gathered(_untied_weights(policy).items(), keep)


def critic_state_dict(critic: Critic, keep: bool = True) -> dict[str, Tensor]:
    """Weights under their Hugging Face names plus ``value_head.*``, on the CPU."""
    return _gathered(critic.state_dict().items(), keep)


def load_policy_state_dict(policy: Policy, state: Mapping[str, Tensor]) -> None:
    """Inverse of :func:`policy_state_dict`. Raises ValueError when the names or shapes differ."""
    _load(policy.causal_lm, _untied_weights(policy), state)


def load_critic_state_dict(critic: Critic, state: Mapping[str, Tensor]) -> None:
    """Inverse of :func:`critic_state_dict`. Raises ValueError when the names or shapes differ."""
    _load(critic, critic.state_dict(), state)


def optimiser_state_dict(model: nn.Module, optimiser: Optimiser, keep: bool = True) -> dict[str, Tensor]:
    """AdamW's moments as ``<parameter>.<moment>``, on the CPU; empty before the first step."""
    moments = (
        (f"{name}.{moment}", tensor)
        for name, parameter in model.named_parameters()
        for moment, tensor in optimiser.adamw.state.get(parameter, {}).items()
    )
    return _gathered(moments, keep)


def load_optimiser_state_dict(model: nn.Module, optimiser: Optimiser, state: Mapping[str, Tensor]) -> None:
    """Inverse of :func:`optimiser_state_dict`.

    Raises:
        ValueError: a parameter's moments are missing or have another shape.
    """
    for name, parameter in model.named_parameters():
        if not state:
            optimiser.adamw.state.pop(parameter, None)
            continue
        absent = [m for m in MOMENTS if f"{name}.{m}" not in state]
        if absent:
            raise ValueError(f"optimiser state of {name} lacks {absent}; the checkpoint is of another model")
        first, second, step = (state[f"{name}.{moment}"] for moment in MOMENTS)
        optimiser.adamw.state[parameter] = {
            # The fused kernel reads the step count where the parameter lies.
            "step": step.to(parameter.device, copy=True),
            "exp_avg": _like(first, parameter, name),
            "exp_avg_sq": _like(second, parameter, name),
        }


def _load(model: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    different = sorted(own.keys() ^ state.keys())
    if different:
        raise ValueError(
            f"weights do not fit {type(model).__name__}: tensors {different[:4]} are "
            "missing or superfluous; use the same base model"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(_like(state[name], tensor, name))


def _untied_weights(policy: Policy) -> dict[str, Tensor]:
    model = policy.causal_lm
    tied = set(model.all_tied_weights_keys)
    return {name: tensor for name, tensor in model.state_dict().items() if name not in tied}


def _gathered(tensors: Iterable[tuple[str, Tensor]], keep: bool) -> dict[str, Tensor]:
    """Whole copies on the CPU; none of them where ``keep`` is off."""
    state = {}
    for name, tensor in tensors:
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if keep:
            state[name] = whole.detach().cpu().clone().contiguous()
    return state


def _like(full: Tensor, target: Tensor, name: str) -> Tensor:
    """``full`` placed, typed and sharded as ``target`` is; a tensor of its own."""
    if full.shape != target.shape:
        raise ValueError(
            f"{name} has shape {list(full.shape)} where {list(target.shape)} is "
            "needed; the checkpoint is of another model"
        )
    local = full.to(target.device, target.dtype, copy=True)
    if not isinstance(target, DTensor):
        return local
    return distribute_tensor(local, target.device_mesh, target.placements, src_data_rank=None)
