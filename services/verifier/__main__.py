"""``python -P -m services.verifier --config FILE [--set section.key=value]``.

Invariant: without the packages that the part needs it ends with one line that says so.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vapo.installation import check_installed
from vapo.service import parse_arguments
from vapo.startup import run_part
from vapo.telemetry import configure_logging


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit status (`vapo.startup`)."""
    configure_logging()
    return run_part("services.verifier", lambda: work(argv))


def work(argv: Sequence[str] | None) -> int:
    """The part's work, imported only where it can be."""
    settings = parse_arguments("services.verifier", argv)
    check_installed(["verifier"])
    from services.verifier.process import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
