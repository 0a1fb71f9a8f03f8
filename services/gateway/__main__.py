"""``python -P -m services.gateway --config FILE [--set section.key=value]``.

Serves the REST front until it is told to stop.
"""

from __future__ import annotations

import sys

from vapo.service import main
from vapo.settings import Settings


def work(settings: Settings) -> int:
    """The part's work, imported only where it can be."""
    from services.gateway.process import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main("services.gateway", work))
