"""torchrun that ends as its ranks do: ``python -P -m trainer.ranks.torchrun OPTIONS -m trainer ...``.

Invariant: the exit status is that of the rank that failed first, or 78 (`vapo.startup`) when any
rank ended with it, so that whoever keeps the trainer running knows whether trying again can help;
torchrun's own is 1 whatever happened.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as run_torchrun


def main(words: Sequence[str] | None = None) -> int:
    """Run torchrun with its own options; returns the exit status."""
    try:
        run_torchrun(words)
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        statuses = [failure.exitcode for failure in error.failures.values()]
        return os.EX_CONFIG if os.EX_CONFIG in statuses else exit_status(first.exitcode)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def exit_status(code: int) -> int:
    """A shell's exit status for a code of `subprocess`, which is below 0 after a signal."""
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
