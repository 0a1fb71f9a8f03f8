"""What the optimiser steps of one model on one rollout batch leave behind for the log.

Invariant: metrics are sums until the end and are divided by global denominators, so they do not
depend on micro-batches, packing or the number of ranks.
"""

from __future__ import annotations

import torch

from trainer.algorithm.denominators import Denominators, add_denominators
from trainer.algorithm.metrics import MetricSums, add_metrics, reduce_metrics
from trainer.ranks.parallel import Ranks, sum_over_ranks


class StepRecord:
    """Metric sums of the micro-batches, denominators and gradient norms of the optimiser steps."""

    def __init__(self, name: str) -> None:
        """``name``: ``policy`` or ``value``, before the slash of ``gradient_norm``."""
        self._name = name
        self._metrics: list[MetricSums] = []
        self._denominators: list[Denominators] = []
        self._gradient_norms: list[float] = []

    @property
    def steps(self) -> int:
        """Optimiser steps done."""
        return len(self._denominators)

    def add_micro_batch(self, metrics: MetricSums) -> None:
        """Keep the sums of one micro-batch of this rank."""
        self._metrics.append(metrics)

    def end_step(self, denominators: Denominators, gradient_norm: float) -> None:
        """An optimiser step is done."""
        self._denominators.append(denominators)
        self._gradient_norms.append(gradient_norm)

    def reduce(self, device: torch.device, ranks: Ranks) -> dict[str, float]:
        """Means over all steps and ranks; losses are means over optimiser steps, the gradient norm
        is the largest. Empty when no step was done. Every rank must call this."""
        if not self._denominators:
            return {}
        sums = _sum_over_ranks(add_metrics(self._metrics), device, ranks)
        means = {name: total / self.steps if name.endswith("loss") else total for name, total in sums.items()}
        metrics = reduce_metrics(means, add_denominators(self._denominators))
        return metrics | {f"{self._name}/gradient_norm": max(self._gradient_norms)}


def _sum_over_ranks(sums: MetricSums, device: torch.device, ranks: Ranks) -> MetricSums:
    """Every rank has the same names."""
    stacked = sum_over_ranks(torch.stack([sums[name].to(device) for name in sorted(sums)]), ranks)
    return dict(zip(sorted(sums), stacked.cpu(), strict=True))
