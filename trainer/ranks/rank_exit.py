"""How a rank of the trainer ends; torch is not imported."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn


def exit_rank(status: int) -> NoReturn:
    """End this process with ``status``; one of several ranks skips the interpreter's finalisation.

    Under FSDP2 gloo's worker threads outlive ``destroy_process_group`` (torch 2.13), and one that
    releases its last tensor while the interpreter goes down aborts the process (pytorch#179291): a
    finished rank would seem to have crashed. So every resource must be closed before this call.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        sys.exit(status)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
