"""``python -P -m services.relay --config FILE [--set section.key=value]``.

Serves until SIGTERM. Also started as ``vapo relay``.
"""

from __future__ import annotations

import sys

from vapo.service import main
from vapo.settings import Settings


def work(settings: Settings) -> int:
    """The part's work, imported only where it can be."""
    from services.relay.process import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main("services.relay", work))
