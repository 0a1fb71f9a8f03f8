"""``python -P -m trainer --config FILE [--set section.key=value]``, alone or under ``torchrun``.

Trains until the step limit, a stop over REST, or a signal. Exit status: 0, the run has come to its
end. 128 + the signal's number: interrupted, so whoever keeps the trainer running starts it again and
it resumes. 1: something is wrong. 69, 78: it cannot start (`vapo.startup`). All ranks give the
status of rank 0: one that was interrupted is finished on no host.
"""

from __future__ import annotations

from trainer.ranks.rank_exit import exit_rank
from vapo.service import main
from vapo.settings import Settings


def work(settings: Settings) -> int:
    """The trainer's work, imported only where it can be."""
    from trainer.process import run

    return run(settings)


if __name__ == "__main__":
    exit_rank(main("trainer", work))
