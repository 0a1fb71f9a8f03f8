"""What the routes work with, made once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from services.gateway.chat_proxy import ChatProxy
from services.gateway.dataset_store import DatasetStore
from services.gateway.evaluations import Evaluations
from services.gateway.event_feed import EventFeed
from services.gateway.feeder import Feeder
from services.gateway.housekeeping import Housekeeping
from services.gateway.rows.task_builder import TaskBuilder
from services.gateway.rows.verifier_names import VerifierNames
from vapo.ledger import Ledger
from vapo.ledger.patience import REQUEST_SECONDS
from vapo.ledger.run_memory import open_ledger, remember
from vapo.ledger.trouble import Kind
from vapo.model.text.tokenizer import PromptTokenizer
from vapo.service.problem_details import Problem
from vapo.settings import Settings
from vapo.weights import WeightChannel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gateway:
    """The objects that all routes share."""

    settings: Settings
    ledger: Ledger
    """For requests: one that meets a Redis that restarts or is silent is answered 503 with
    ``Retry-After`` soon; where Redis answers and refuses, at once."""
    tokenizer: PromptTokenizer
    builder: TaskBuilder
    datasets: DatasetStore
    feeder: Feeder
    evaluations: Evaluations
    housekeeping: Housekeeping
    events: EventFeed
    weights: WeightChannel
    proxy: ChatProxy

    @classmethod
    def make(cls, settings: Settings, tokenizer: PromptTokenizer) -> Gateway:
        """Connect everything and check that the run uses this tokenizer.

        Raises:
            DisagreementError: the run was started with another tokenizer.
            StartupError: Redis has lost the run.
        """
        for_threads = open_ledger(settings)
        for_threads.control.agree("tokenizer", tokenizer.fingerprint, settings.model.path)
        for_requests = for_threads.briefly(REQUEST_SECONDS)
        verifiers = VerifierNames(lambda: for_requests.fleet.alive("verifier"))
        builder = TaskBuilder(settings, tokenizer, verifiers)
        remember(for_threads)
        store = DatasetStore(datasets_directory(settings), builder.check, settings.gateway.max_dataset_bytes)
        return cls(
            settings,
            for_requests,
            tokenizer,
            builder,
            store,
            Feeder(for_threads, store, builder),
            Evaluations(for_requests, builder),
            Housekeeping(for_threads, Evaluations(for_threads, builder)),
            EventFeed(for_threads),
            WeightChannel(for_requests.redis, for_requests.keys),
            ChatProxy(settings, for_requests),
        )


def datasets_directory(settings: Settings) -> Path:
    """Where uploaded data sets are kept."""
    return settings.run.directory / "datasets"


def _gateway(request: Request) -> Gateway:
    return request.app.state.gateway


def _refuse_if_lost(gateway: Annotated[Gateway, Depends(_gateway)]) -> None:
    trouble = gateway.ledger.watch.recent()
    if trouble and trouble.kind is Kind.LOST:
        raise Problem(503, trouble.text, RETRY_LATER)


def _refuse_in_trouble(gateway: Annotated[Gateway, Depends(_gateway)]) -> None:
    trouble = gateway.ledger.watch.look()
    if trouble and trouble.kind not in WAITED_FOR:
        raise Problem(503, trouble.text, RETRY_LATER)


RETRY_LATER = {"Retry-After": "5"}
WAITED_FOR = (Kind.SILENT, Kind.LOADING)
"""A request that meets these waits a while, since they pass by themselves."""
HOLDS_RUN = Depends(_refuse_if_lost)
"""Route dependency: 503 with the cause when Redis has lost the run, and answers would be empty."""
TAKES_WRITES = Depends(_refuse_in_trouble)
"""Route dependency: 503 with the cause when Redis could not keep what the request adds."""
GatewayDependency = Annotated[Gateway, Depends(_gateway)]
