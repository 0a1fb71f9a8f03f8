"""The generator as a process: its checks, then the engine and what it serves."""

from __future__ import annotations

import logging

from services.generator.engine import engine_options
from services.generator.engine.socket_folder import socket_folder
from services.generator.engine.vllm_engine import Engine
from services.generator.part import GeneratorPart
from services.generator.routes import add_routes
from vapo.model.folder.contents import check_model_folder
from vapo.model.text.tokenizer import policy_tokenizer
from vapo.service import Endpoint, serve_part
from vapo.settings import Settings
from vapo.weights.from_settings import check_cache


def run(settings: Settings) -> int:
    """Start the engine, then serve with ``settings``; returns the exit status.

    A Redis that is away is no reason to end: the engine answers without it, and works on the queue
    once it is there.
    """
    logging.getLogger("vllm").setLevel(logging.WARNING)
    check_model_folder(settings.model.path, context_tokens=settings.model.max_context_tokens)
    check_cache(settings)
    tokenizer = policy_tokenizer(settings.model)

    def build(endpoint: Endpoint) -> GeneratorPart:
        # vLLM and torch, which read the environment when they are imported, are so only now.
        engine_options.prepare_environment(on_cpu=engine_options.is_cpu_build())
        return GeneratorPart(settings, endpoint, Engine.start(settings), tokenizer)

    with socket_folder():
        return serve_part("generator", settings, build, add_routes, needs_redis=False)
