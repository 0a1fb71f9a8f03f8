"""The ablation study: VAPO, its leave-one-out variants and the baselines on a small task.

``python -m lab.study`` (in front of it: ``vapo ablate``). It runs the platform's own algorithm
(``trainer.learning.update``, ``trainer.learning.value_pretraining``, ``trainer.algorithm``) in one process and
replaces everything around it: rollouts come from a sampler of its own instead of vLLM, and there
is no Redis and no HTTP.
"""

from __future__ import annotations
