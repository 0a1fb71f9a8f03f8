"""``python -m services.generator --config FILE [--set section.key=value]``."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from services.generator import engine_options
from vapo.service import bind, bound_url, member_name, parse_arguments, serve
from vapo.telemetry import configure_logging
from vapo.tokenizer import load_tokenizer


def main(argv: Sequence[str] | None = None) -> int:
    """Start the engine, then serve until SIGTERM; 1 when the engine failed."""
    configure_logging()
    logging.getLogger("vllm").setLevel(logging.WARNING)
    settings = parse_arguments("services.generator", argv)
    tokenizer = load_tokenizer(settings.model.path)
    listener = bind(settings.generator.host, settings.generator.port)
    engine_options.prepare_environment(on_cpu=engine_options.is_cpu_build())

    # Imported only now: vLLM and torch read the environment when they are imported.
    from services.generator.app import build_app
    from services.generator.engine import Engine
    from services.generator.runtime import Runtime

    engine = Engine.start(settings)
    url = bound_url(listener, settings.network.advertise_host)
    runtime = Runtime(engine, settings, tokenizer, member_name("generator"), url)
    serve(build_app(runtime, tokenizer), listener)
    return int(runtime.state.engine_failure is not None)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Everything is given back and the engine is gone; taking torch and vLLM apart object by object
    # would keep a busy host waiting for seconds.
    os._exit(status)
