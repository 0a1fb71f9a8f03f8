"""``python -P -m services.generator --config FILE [--set section.key=value]``.

Invariant: without the packages that the part needs it ends with one line that says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from vapo.installation import check_installed
from vapo.service import parse_arguments
from vapo.startup import run_part
from vapo.telemetry import configure_logging


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit status (`vapo.startup`); 1 when the engine failed."""
    configure_logging()
    logging.getLogger("vllm").setLevel(logging.WARNING)
    return run_part("services.generator", lambda: work(argv))


def work(argv: Sequence[str] | None) -> int:
    """The part's work, imported only where it can be."""
    settings = parse_arguments("services.generator", argv)
    check_installed(["generator"])
    from services.generator.process import run

    return run(settings)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Everything is given back and the engine is gone; taking torch and vLLM apart object by object
    # would keep a busy host waiting for seconds.
    os._exit(status)
