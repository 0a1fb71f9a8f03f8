"""The environment variables parts run under on a machine without a GPU.

Invariant: what the user has set stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

CPU_DEFAULTS: Mapping[str, str] = {
    # Several processes share few cores: one thread each, and no thread spins while it waits. An
    # engine bound to a core that another process is using decodes at a tenth of its speed, hence no
    # binding.
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "TOKENIZERS_PARALLELISM": "false",
}
OFFLINE_DEFAULTS: Mapping[str, str] = {
    # Models are local folders; no part asks a hub for anything or reports its use.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Bars fill log files with carriage returns.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


def part_environment(inherited: Mapping[str, str], has_gpu: bool) -> dict[str, str]:
    """The whole environment of a part: defaults, then what is inherited."""
    defaults = {**OFFLINE_DEFAULTS, **({} if has_gpu else CPU_DEFAULTS)}
    return {**defaults, "PYTHONUNBUFFERED": "1", **inherited}
