"""Models spread over ranks by FSDP2.

Invariant: gradients are *summed* over ranks, never averaged, because losses already have global
denominators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from trainer.learning.policy import Policy
from trainer.ranks.parallel import Ranks
from vapo.model.critic import Critic


def shard_policy(policy: Policy, ranks: Ranks) -> Policy:
    """Shard the actor in place over all ranks; a single rank's is left as it is.

    Embedding, final norm and output head form the outermost group: it stays gathered between the
    forward and the backward pass, where the chunked output head is recomputed.
    """
    if ranks.sharded:
        precision = _mixed_precision(ranks.device)
        _shard(_layers(policy.causal_lm.base_model), policy, ranks, precision)
    return policy


def shard_critic(critic: Critic, ranks: Ranks) -> Critic:
    """Shard the critic in place over all ranks; its value head keeps computing in float32."""
    if ranks.sharded:
        precision = _mixed_precision(ranks.device)
        _shard(_layers(critic.model), critic.model, ranks, precision)
        _shard([], critic, ranks, MixedPrecisionPolicy())
    return critic


def _layers(backbone: nn.Module) -> list[nn.Module]:
    return list(cast(nn.ModuleList, backbone.layers))


def _shard(layers: Sequence[nn.Module], root: nn.Module, ranks: Ranks, precision: MixedPrecisionPolicy) -> None:
    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    for module in (*layers, root):
        sharded: FSDPModule = fully_shard(module, mesh=mesh, mp_policy=precision)
        sharded.set_force_sum_reduction_for_comms(True)
        sharded.set_gradient_divide_factor(1.0)


def _mixed_precision(device: torch.device) -> MixedPrecisionPolicy:
    """bfloat16 compute and float32 gradients on CUDA; inputs stay as they are.

    Layers get bfloat16 from the embedding anyway, and FSDP would round whatever else a model is
    given: it looks into the micro-batch and makes a temperature of 0.7 0.6992.
    """
    if device.type != "cuda":
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
