"""The trainer as a process: its checks, its ranks, HTTP and heartbeat beside the training loop."""

from __future__ import annotations

import logging
import signal
from datetime import timedelta
from types import FrameType

import torch
from redis.exceptions import RedisError
from transformers.utils.logging import disable_progress_bar

from trainer.assembly import build_loop
from trainer.checkpoint import CheckpointError
from trainer.intake.ingest import BatchDeadline
from trainer.part import TrainerPart
from trainer.ranks.parallel import Ranks, join_ranks, leave_ranks, share_number
from trainer.records.course import Course
from trainer.records.mismatch import MismatchError
from trainer.records.status import Requests, Status
from trainer.routes import add_routes
from trainer.run_lock import run_lock
from trainer.start_checks import check_folders, check_models
from vapo.ledger.connection import wait_for_redis
from vapo.ledger.run_memory import open_ledger, remember
from vapo.ledger.trouble import explain
from vapo.service import BackgroundServer, app_of, take_endpoint
from vapo.settings import Settings
from vapo.startup import UnavailableError

logger = logging.getLogger("trainer")

COLLECTIVE_MARGIN_SECONDS = 600.0
"""Ranks wait for rank 0 this much longer than rank 0 may wait for rollouts and for Redis."""
EXPECTED = (BatchDeadline, CheckpointError, MismatchError, FloatingPointError)
"""Errors of a run under way whose text says it all; no traceback is needed."""


def run(settings: Settings) -> int:
    """Train with ``settings``; returns the exit status (`trainer.__main__`)."""
    disable_progress_bar()
    check_models(settings)
    deadline = settings.trainer.batch_deadline_seconds + settings.redis.refusal_seconds + COLLECTIVE_MARGIN_SECONDS
    ranks = join_ranks(timedelta(seconds=deadline), device_choice=settings.trainer.device)
    if ranks.device.type == "cpu":
        torch.set_num_threads(settings.trainer.threads)
    requests = Requests()
    _stop_on_signals(requests)
    try:
        return _run(settings, ranks, requests)
    except EXPECTED as error:
        logger.error("%s: %s", type(error).__name__, error)
        return 1
    except RedisError as error:
        logger.error("%s", explain(error))
        return UnavailableError.status
    finally:
        leave_ranks(ranks)


def _run(settings: Settings, ranks: Ranks, requests: Requests) -> int:
    status = None
    if ranks.is_first:
        check_folders(settings)
        with run_lock(settings.run.directory):
            _run_first_rank(settings, ranks, requests)
        status = 0 if requests.signal is None else 128 + requests.signal
    else:
        build_loop(settings, ranks, requests, Status(), None).run()
    return share_number(status, ranks)


def _run_first_rank(settings: Settings, ranks: Ranks, requests: Requests) -> None:
    """Train, with HTTP and heartbeat beside it: unlike other parts, whose server has the main thread."""
    listener, endpoint = take_endpoint("trainer", settings)
    wait_for_redis(settings.redis)
    status = Status(max_steps=settings.trainer.max_steps, step=0, version=0)
    longest = settings.redis.refusal_seconds
    ledger = open_ledger(settings, lambda: 0.0 if requests.stopping else longest)
    part = TrainerPart(settings, endpoint, ledger.watch, requests, status)
    server = BackgroundServer(app_of(part, add_routes), listener)
    server.start()
    course = Course(ledger)
    try:
        loop = build_loop(settings, ranks, requests, status, ledger)
        remember(ledger)
        course.runs()
        position = loop.run()
        status.set(phase="stopped")
        if position.step >= settings.trainer.max_steps or ledger.control.stop_requested:
            requests.signal = None
        course.stopped(position.step, requests.signal is not None)
        logger.info("stopped at step %d of %d", position.step, settings.trainer.max_steps)
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        status.set(phase="failed", error=reason)
        course.failed(status.snapshot()["step"], reason)
        raise
    finally:
        server.stop()


def _stop_on_signals(requests: Requests) -> None:
    """First SIGTERM, SIGINT or closed terminal: finish the step, checkpoint, end. A second one ends
    at once. Under nohup a closed terminal stays ignored.
    """

    def stop(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        requests.stop(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, stop)
