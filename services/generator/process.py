"""The generator as a process: its checks, then the engine and what it serves."""

from __future__ import annotations

import logging
import socket

from services.generator.engine import engine_options
from services.generator.engine.socket_folder import socket_folder
from vapo.ledger.connection import trouble_at
from vapo.model.folder.contents import check_model_folder
from vapo.model.text.tokenizer import PromptTokenizer, policy_tokenizer
from vapo.service import bind, bound_url, member_name, serve
from vapo.settings import Settings
from vapo.weights.from_settings import check_cache

logger = logging.getLogger("services.generator")


def run(settings: Settings) -> int:
    """Start the engine, then serve with ``settings``.

    A Redis that is away is no reason to end: the engine answers without it, and works on the queue
    once it is there.
    """
    check_model_folder(settings.model.path, context_tokens=settings.model.max_context_tokens)
    check_cache(settings)
    tokenizer = policy_tokenizer(settings.model)
    listener = bind(settings.generator.host, settings.generator.port)
    trouble = trouble_at(settings.redis)
    if trouble:
        logger.warning("redis.url=%s: %s; trying again when the engine is up", settings.redis.url, trouble.text)
    engine_options.prepare_environment(on_cpu=engine_options.is_cpu_build())
    with socket_folder():
        return _serve(settings, tokenizer, listener)


def _serve(settings: Settings, tokenizer: PromptTokenizer, listener: socket.socket) -> int:
    # Imported only now: vLLM and torch read the environment when they are imported.
    from services.generator.app import build_app
    from services.generator.engine.vllm_engine import Engine
    from services.generator.runtime import Runtime

    engine = Engine.start(settings)
    url = bound_url(listener, settings.network.advertise_host)
    runtime = Runtime(engine, settings, tokenizer, member_name("generator"), url)
    serve(build_app(runtime, tokenizer), listener)
    return int(runtime.state.engine_failure is not None)
