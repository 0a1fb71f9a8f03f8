"""The gateway as a process."""

from __future__ import annotations

import logging

from services.gateway.context import Gateway, datasets_directory
from services.gateway.part import GatewayPart
from services.gateway.routes import add_routes
from vapo.model.folder.contents import check_model_description
from vapo.model.text.tokenizer import policy_tokenizer
from vapo.model.text.tokenizer_files import NO_TEMPLATE
from vapo.service import serve_part
from vapo.settings import Settings
from vapo.startup import check_writable

logger = logging.getLogger("services.gateway")


def run(settings: Settings) -> int:
    """Look at folder and model, then serve with ``settings``; returns the exit status.

    Raises:
        StartupError: data sets cannot be kept under ``run.directory``, the model cannot be used, or
            its folder has no usable tokenizer.
    """
    check_writable("run.directory", datasets_directory(settings))
    check_model_description(settings.model.path, context_tokens=settings.model.max_context_tokens)
    tokenizer = policy_tokenizer(settings.model)
    if tokenizer.render is None:
        logger.warning("%s: %s", settings.model.path, NO_TEMPLATE)
    return serve_part(
        "gateway", settings, lambda endpoint: GatewayPart(Gateway.make(settings, tokenizer), endpoint), add_routes
    )
