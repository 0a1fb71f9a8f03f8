"""The environment variables parts run under.

Invariants: what the user has set stays as it is; where the CPU build of vLLM is installed every
part computes on the CPU, also on a machine that has a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from vapo.processes.python_module import SAFE_PATH, without_current_folder

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


NO_GPU: Mapping[str, str] = {
    # A CUDA build of torch would else put the critic and the trainer where the engine is not.
    "CUDA_VISIBLE_DEVICES": ""
}


def part_environment(inherited: Mapping[str, str], on_gpu: bool) -> dict[str, str]:
    """The whole environment of a part: defaults, then what is inherited, but for what would let
    the current folder be searched for modules."""
    defaults = {**OFFLINE_DEFAULTS, **({} if on_gpu else {**CPU_DEFAULTS, **NO_GPU})}
    chosen = {**defaults, "PYTHONUNBUFFERED": "1", **without_current_folder(inherited)}
    return {**chosen, **SAFE_PATH}


def computes_on_gpu() -> bool:
    """Whether parts started here use a GPU: there is one, and vLLM is not the CPU build."""
    return has_nvidia_driver() and installed_version("vllm-cpu") is None


def has_nvidia_driver() -> bool:
    """Whether an NVIDIA driver is loaded."""
    return Path("/dev/nvidiactl").exists()


def installed_version(package: str) -> str | None:
    """Version of an installed package, or None; nothing is imported."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
