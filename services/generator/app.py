"""The generator's HTTP side: OpenAI-form completions, token-level generation, weights in use.

Invariant: a request that cannot be served is told why with a 4xx or 503 problem document, whoever
finds it out: we before it reaches the engine, or the engine itself.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI

from services.generator.openai.openai_bodies import ChatRequest, CompletionRequest
from services.generator.openai.openai_handler import OpenAIHandler
from services.generator.request_bodies import GenerateRequest
from services.generator.request_handler import RequestHandler
from services.generator.runtime import Runtime
from vapo.model.text.tokenizer import PromptTokenizer
from vapo.service import USER, create_app, require
from vapo.telemetry import MappingCollector, new_registry


def build_app(runtime: Runtime, tokenizer: PromptTokenizer) -> FastAPI:
    """The HTTP app; ``runtime`` starts and stops with it."""
    registry = new_registry()
    registry.register(MappingCollector("vapo_generator", "Generator", runtime.metrics))
    app = create_app(
        "generator", runtime.settings, runtime.unready_reason, registry, on_start=runtime.start, on_stop=runtime.stop
    )
    app.include_router(_routes(RequestHandler(runtime, tokenizer)), dependencies=[require(USER)])
    return app


def _routes(handler: RequestHandler) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["generation"])
    openai = OpenAIHandler(handler)

    @router.post("/generate")
    async def generate(body: GenerateRequest) -> dict[str, Any]:
        """Token ids in; token ids, log-probs and weight-version spans out."""
        return await handler.generate(body)

    @router.post("/completions")
    async def completions(body: CompletionRequest) -> Any:
        """Continue texts (OpenAI form)."""
        return await openai.completions(body)

    @router.post("/chat/completions")
    async def chat_completions(body: ChatRequest) -> Any:
        """Answer a conversation (OpenAI form)."""
        return await openai.chat(body)

    @router.get("/weights")
    async def weights() -> dict[str, Any]:
        """Version, state, and the last load's proof: checksum, canary log-probs, timings."""
        return handler.runtime.weights()

    return router
