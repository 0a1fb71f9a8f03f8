"""The generator's HTTP side: OpenAI-form completions, token-level generation, weights in use.

Invariant: a request that cannot be served is told why with a 4xx or 503 problem document, whoever
finds it out: we before it reaches the engine, or the engine itself.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI

from services.generator.openai.openai_bodies import ChatRequest, CompletionRequest
from services.generator.openai.openai_handler import OpenAIHandler
from services.generator.part import GeneratorPart
from services.generator.request_bodies import GenerateRequest
from services.generator.request_handler import RequestHandler
from vapo.service import USER, require


def add_routes(app: FastAPI, part: GeneratorPart) -> None:
    """Generate, and tell under which weights."""
    router = APIRouter(prefix="/v1", tags=["generation"], dependencies=[require(USER)])
    handler = RequestHandler(part)
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
        return part.weights()

    app.include_router(router)
