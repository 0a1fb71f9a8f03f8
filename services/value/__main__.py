"""``python -m services.value --config FILE [--set section.key=value]``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from services.value.app import Hooks, build_app
from services.value.replica import Replica
from services.value.runtime import Runtime
from vapo.service import bind, bound_url, parse_arguments, serve
from vapo.telemetry import configure_logging, new_registry


def main(argv: Sequence[str] | None = None) -> int:
    """Load the critic, then serve until SIGTERM."""
    configure_logging()
    settings = parse_arguments("services.value", argv)
    torch.set_num_threads(1)  # on one machine the other cores belong to vLLM and the trainer
    listener = bind(settings.value.host, settings.value.port)
    metrics = new_registry()
    replica = Replica(settings.model.path, settings.value.token_budget,
                      settings.model.value_bounds)
    url = bound_url(listener, settings.network.advertise_host)
    runtime = Runtime(settings, replica, metrics, url)
    hooks = Hooks(runtime.unready_reason, runtime.start, runtime.stop, runtime.weights)
    serve(build_app(settings, runtime.scorer, metrics, hooks), listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
