"""The ablation study: VAPO, its leave-one-out variants and the baselines on a small task.

``python -m trainer.study`` (in front of it: ``vapo ablate``). It runs the platform's own algorithm
(``trainer.update``, ``trainer.value_pretraining``, ``trainer.algorithm``) in one process and
replaces everything around it: rollouts come from a sampler of its own instead of vLLM, and there
is no Redis and no HTTP.
"""

from __future__ import annotations
