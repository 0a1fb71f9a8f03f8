"""The value service as a process."""

from __future__ import annotations

import torch

from services.value.app import Hooks, build_app
from services.value.replica import Replica
from services.value.runtime import Runtime
from vapo.ledger.connection import wait_for_redis
from vapo.model.devices import choose_device
from vapo.model.folder.contents import check_model_folder
from vapo.service import bind, bound_url, serve
from vapo.settings import Settings
from vapo.telemetry import new_registry
from vapo.weights.from_settings import check_cache


def run(settings: Settings) -> int:
    """Serve with ``settings``."""
    torch.set_num_threads(1)  # on one machine the other cores belong to vLLM and the trainer
    device = choose_device("value.device", settings.value.device)
    check_model_folder(settings.model.path, context_tokens=settings.model.max_context_tokens)
    check_cache(settings)
    listener = bind(settings.value.host, settings.value.port)
    wait_for_redis(settings.redis)
    metrics = new_registry()
    replica = Replica(settings.model.path, settings.value.token_budget, settings.model.value_bounds, device)
    url = bound_url(listener, settings.network.advertise_host)
    runtime = Runtime(settings, replica, metrics, url)
    hooks = Hooks(runtime.unready_reason, runtime.start, runtime.stop, runtime.weights)
    serve(build_app(settings, runtime.scorer, metrics, hooks), listener)
    return 0
