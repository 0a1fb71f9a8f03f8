"""``python -P -m services.generator --config FILE [--set section.key=value]``.

Starts the engine, then serves until SIGTERM. Exit status 1: the engine failed.
"""

from __future__ import annotations

import logging
import os

from vapo.service import main
from vapo.settings import Settings


def work(settings: Settings) -> int:
    """The part's work, imported only where it can be."""
    from services.generator.process import run

    return run(settings)


if __name__ == "__main__":
    status = main("services.generator", work)
    logging.shutdown()
    # Everything is given back and the engine is gone; taking torch and vLLM apart object by object
    # would keep a busy host waiting for seconds.
    os._exit(status)
