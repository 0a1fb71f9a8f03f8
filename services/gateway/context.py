"""What the routes work with, made once."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.gateway.chat_proxy import ChatProxy
from services.gateway.dataset_store import DatasetStore
from services.gateway.evaluations import Evaluations
from services.gateway.event_feed import EventFeed
from services.gateway.feeder import Feeder
from services.gateway.housekeeping import Housekeeping
from services.gateway.task_builder import TaskBuilder
from services.gateway.verifier_names import VerifierNames
from vapo.ledger import Ledger
from vapo.model_folder import check_model_description
from vapo.settings import Settings
from vapo.startup import check_writable
from vapo.tokenizer import PromptTokenizer, policy_tokenizer
from vapo.tokenizer_files import NO_TEMPLATE
from vapo.weights import WeightChannel

logger = logging.getLogger(__name__)

HTTP_PATIENCE_SECONDS = 8.0
"""A request waits this long for a Redis that restarts, then it is answered 503."""


@dataclass(frozen=True)
class Gateway:
    """The gateway's parts."""

    settings: Settings
    ledger: Ledger
    """For requests: gives up soon."""
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
    def make(cls, settings: Settings) -> Gateway:
        """Connect everything and check that the run uses this tokenizer.

        Raises:
            ModelFolderError, ModelFormError: the model cannot be used.
            TokenizerError: the model folder has no usable tokenizer.
            DisagreementError: the run was started with another tokenizer.
            StartupError: data sets cannot be kept under ``run.directory``.
        """
        datasets = settings.run.directory / "datasets"
        check_writable("run.directory", datasets)
        patient = Ledger.open(settings)
        check_model_description(settings.model.path,
                                context_tokens=settings.model.max_context_tokens)
        tokenizer = policy_tokenizer(settings.model)
        if tokenizer.render is None:
            logger.warning("%s: %s", settings.model.path, NO_TEMPLATE)
        patient.control.agree("tokenizer", tokenizer.fingerprint, settings.model.path)
        hasty = Ledger.open(settings, HTTP_PATIENCE_SECONDS)
        verifiers = VerifierNames(lambda: hasty.fleet.members("verifier"))
        builder = TaskBuilder(settings, tokenizer, verifiers)
        store = DatasetStore(datasets, builder.check, settings.gateway.max_dataset_bytes)
        return cls(
            settings,
            hasty,
            tokenizer,
            builder,
            store,
            Feeder(patient, store, builder),
            Evaluations(hasty, builder),
            Housekeeping(patient, Evaluations(patient, builder)),
            EventFeed(patient),
            WeightChannel(hasty.redis, hasty.keys),
            ChatProxy(settings, hasty),
        )

    def start(self) -> None:
        """Start the threads."""
        self.events.start()
        self.feeder.start()
        self.housekeeping.start()

    async def stop(self) -> None:
        """End the threads and let go of the connections."""
        threads = (self.events, self.feeder, self.housekeeping)
        await asyncio.gather(*(asyncio.to_thread(thread.stop) for thread in threads))
        await self.proxy.close()


def _gateway(request: Request) -> Gateway:
    return request.app.state.gateway


GatewayDependency = Annotated[Gateway, Depends(_gateway)]
