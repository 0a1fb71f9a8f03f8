"""Between our plain data and vLLM's: sampling parameters there, log-probs and positions back.

Invariant: a log-prob is told only for the very token vLLM sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from services.generator.engine.samples import Ranked, Sampling

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import CompletionOutput


def sampling_parameters(sampling: Sampling, streamed: bool) -> SamplingParams:
    """vLLM's form of ``sampling``. Raises what vLLM raises at values it refuses."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    steering = asdict(sampling.steering)
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_new_tokens,
        seed=sampling.seed,
        stop=list(sampling.stop) or None,
        logprobs=sampling.ranked or 0,
        prompt_logprobs=sampling.prompt_ranked,
        flat_logprobs=True,
        detokenize=detokenized(sampling, streamed),
        output_kind=RequestOutputKind.CUMULATIVE if streamed else RequestOutputKind.FINAL_ONLY,
        **steering
        | {
            "stop_token_ids": list(steering["stop_token_ids"]) or None,
            "logit_bias": dict(steering["logit_bias"]) or None,
        },
    )


def detokenized(sampling: Sampling, streamed: bool) -> bool:
    """Whether vLLM makes text itself. That and handing over every token costs as much as a third
    of decoding on CPU; only streams and stop strings need it.
    """
    return streamed or bool(sampling.stop)


def log_probs(piece: CompletionOutput) -> list[float]:
    """[L] log-prob of each sampled token. Raises ValueError: they are of other tokens."""
    flat: Any = piece.logprobs
    first = flat.start_indices
    if [flat.token_ids[index] for index in first] != list(piece.token_ids):
        raise ValueError(
            "vLLM's log-probs are not those of the sampled tokens: "
            f"{len(piece.token_ids)} tokens, {len(first)} positions"
        )
    return [flat.logprobs[index] for index in first]


def positions(flat: Any, begin: int = 0) -> Sequence[Ranked]:
    """The positions of vLLM's flat log-probs from ``begin`` on; none of None."""
    if flat is None:
        return ()
    spans = list(zip(flat.start_indices, flat.end_indices, strict=True))[begin:]
    return [dict(zip(flat.token_ids[start:end], flat.logprobs[start:end], strict=True)) for start, end in spans]
