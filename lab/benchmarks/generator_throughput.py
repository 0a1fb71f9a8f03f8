"""Start-up, decoding speed and in-flight weight updates of the generator's engine.

    python -m lab.benchmarks.generator_throughput [--model FOLDER] [--seconds 5] [--set KEY=VALUE]

Prints one JSON object: seconds of each part of the start; tokens per second with log-probs at
several numbers of concurrent sequences; standstill and proof of updates with all sequences in
flight. Only the engine is measured, in this process and the engine process it starts; run it on an
idle machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.generator.engine import engine_options
from vapo.model.text.tokenizer import load_tokenizer
from vapo.settings import Settings, load_settings
from vapo.weights.canary import canary_token_ids

if TYPE_CHECKING:
    from services.generator.engine.vllm_engine import Engine

CONCURRENCY = (16, 64, 128, 256)
UPDATES = 5
NEW_TOKENS = 160


def main() -> int:
    """Measure and print."""
    arguments = _arguments()
    settings = load_settings(
        None, [f"model.path={json.dumps(str(arguments.model))}", "generator.cpu_kv_cache_gib=0.25", *arguments.set]
    )
    engine, report = _started(settings)
    try:
        report |= asyncio.run(_measured(engine, settings, arguments.seconds))
    finally:
        engine.shutdown()
    print(json.dumps(report, indent=2), flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("vapo/assets/chain-base"))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    return parser.parse_args()


def _started(settings: Settings) -> tuple[Engine, dict[str, Any]]:
    begun = time.monotonic()
    engine_options.prepare_environment(on_cpu=engine_options.is_cpu_build())
    from vllm.v1.engine import async_llm  # noqa: F401 - its import is what is timed

    from services.generator.engine.vllm_engine import Engine

    imported = time.monotonic()
    engine = Engine.start(settings)
    started = time.monotonic()
    return engine, {"import_seconds": round(imported - begun, 2), "engine_start_seconds": round(started - imported, 2)}


async def _measured(engine: Engine, settings: Settings, seconds: float) -> dict[str, Any]:
    canary = canary_token_ids(engine.vocabulary_size)
    begun = time.monotonic()
    await engine.score(canary)
    engine.prove_load()
    first_score = time.monotonic() - begun
    prompts = _prompts(settings.model.path)
    speeds = {str(count): round(await _speed(engine, prompts, count, seconds)) for count in CONCURRENCY}
    return {
        "first_log_probs_seconds": round(first_score, 3),
        "tokens_per_second": speeds,
        "update": await _updates(engine, prompts, settings.model.path, canary),
    }


def _prompts(model: Path) -> list[list[int]]:
    rng, tokenizer = random.Random(0), load_tokenizer(model)
    texts = ["+".join(str(rng.randint(10, 99)) for _ in range(rng.randint(3, 7))) + "=?" for _ in range(64)]
    return [tokenizer.encode_prompt(text) for text in texts]


async def _speed(engine: Engine, prompts: list[list[int]], count: int, seconds: float) -> float:
    tokens, deadline = 0, time.monotonic() + seconds

    async def one_after_another(first: int) -> None:
        nonlocal tokens
        seed = first
        while time.monotonic() < deadline:
            made = await _response(engine, prompts[seed % len(prompts)], seed)
            tokens += made
            seed += count

    begun = time.monotonic()
    await asyncio.gather(*(one_after_another(number) for number in range(count)))
    return tokens / (time.monotonic() - begun)


async def _response(engine: Engine, prompt: list[int], seed: int) -> int:
    from services.generator.engine.vllm_engine import Sampling

    completion = await engine.generate(prompt, Sampling(NEW_TOKENS, seed=seed))
    return len(completion.token_ids)


async def _updates(engine: Engine, prompts: list[list[int]], model: Path, canary: list[int]) -> dict[str, Any]:
    """Load the same weights several times under a full batch."""
    load = asyncio.create_task(_speed(engine, prompts, CONCURRENCY[-1], 3.0 + UPDATES))
    standstill, proof = [], []
    with tempfile.TemporaryDirectory() as folder:
        actor = Path(folder) / "actor.safetensors"
        _merge(model, actor)
        for version in range(1, UPDATES + 1):
            await asyncio.sleep(1.0)
            standstill.append((await engine.load(actor, version)).standstill)
            begun = time.monotonic()
            await engine.score(canary)
            engine.prove_load()
            proof.append(time.monotonic() - begun)
    return {
        "sequences": CONCURRENCY[-1],
        "median_standstill_seconds": round(statistics.median(standstill), 3),
        "median_proof_seconds": round(statistics.median(proof), 3),
        "tokens_per_second_meanwhile": round(await load),
    }


def _merge(model: Path, actor: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors: dict[str, Any] = {}
    for file in sorted(model.glob("*.safetensors")):
        tensors |= load_file(file)
    save_file(tensors, actor)


if __name__ == "__main__":
    os._exit(main())  # not sys.exit: vLLM's clean-up complains when the interpreter is half gone
