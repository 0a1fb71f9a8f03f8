"""``python -P -m trainer --config FILE [--set section.key=value]``, alone or under ``torchrun``.

Invariant: without the packages that the trainer needs it ends with one line that says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.ranks.rank_exit import exit_rank
from vapo.installation import check_installed
from vapo.service import parse_arguments
from vapo.startup import run_part
from vapo.telemetry import configure_logging


def main(argv: Sequence[str] | None = None) -> int:
    """Train until the step limit, a stop over REST, or a signal.

    Returns:
        0: the run has come to its end. 128 + the signal's number: interrupted, so whoever keeps the
        trainer running starts it again and it resumes. 1: something is wrong. 69, 78: it cannot
        start (`vapo.startup`). All ranks give the status of rank 0: one that was interrupted is
        finished on no host.
    """
    configure_logging()
    return run_part("trainer", lambda: work(argv))


def work(argv: Sequence[str] | None) -> int:
    """The trainer's work, imported only where it can be."""
    settings = parse_arguments("trainer", argv)
    check_installed(["trainer"])
    from trainer.process import run

    return run(settings)


if __name__ == "__main__":
    exit_rank(main())
