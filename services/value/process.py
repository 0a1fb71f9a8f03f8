"""The value service as a process."""

from __future__ import annotations

import torch

from services.value.part import ValuePart
from services.value.replica import Replica
from services.value.routes import add_routes
from vapo.model.devices import choose_device
from vapo.model.folder.contents import check_model_folder
from vapo.service import Endpoint, serve_part
from vapo.settings import Settings
from vapo.weights.from_settings import check_cache


def run(settings: Settings) -> int:
    """Look at model, device and cache, then serve with ``settings``; returns the exit status."""
    torch.set_num_threads(1)  # on one machine the other cores belong to vLLM and the trainer
    model, value = settings.model, settings.value
    device = choose_device("value.device", value.device)
    check_model_folder(model.path, context_tokens=model.max_context_tokens)
    check_cache(settings)

    def build(endpoint: Endpoint) -> ValuePart:
        return ValuePart(settings, endpoint, Replica(model.path, value.token_budget, model.value_bounds, device))

    return serve_part("value", settings, build, add_routes)
