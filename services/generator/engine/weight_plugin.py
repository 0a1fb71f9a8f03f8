"""Makes vLLM's processes know our loader of the base model and our weight transfer engine, and end
with the generator.

vLLM calls :func:`register` in each of its processes through the entry point group
``vllm.general_plugins`` when the project is installed. When it runs from a checkout there is no
entry point; then :mod:`services.generator.engine.worker_extension`, which vLLM imports in each worker,
registers.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from vapo.processes.child import die_with_multiprocessing_parent

BACKEND = "vapo_file"
"""Name of the transfer engine in ``WeightTransferConfig(backend=...)``."""

LOAD_FORMAT = "vapo_folder"
"""Name of the loader of the base model in ``LoadConfig(load_format=...)``."""


def register() -> None:
    """Register loader and transfer engine, and have this process end with the generator, which vLLM
    by itself does not: it would go on holding memory and cores. Harmless when called again.
    """
    die_with_multiprocessing_parent()
    _register_engine()


@cache
def _register_engine() -> None:
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    WeightTransferEngineFactory.register_engine(
        BACKEND, "services.generator.engine.weight_engine", "FileWeightTransferEngine"
    )
    import_module("services.generator.engine.folder_loader")  # registers itself
