"""A batched sampler with a key-value cache, for small Qwen3 models on one core.

All rows stand at the same position: prompt tokens are fed one by one, and a row samples from where
its own prompt ends. So nothing is padded, no mask is needed, and a row that ended is dropped.

Invariants:
- temperature 1, the whole vocabulary: the log-prob that is returned is the one sampled from;
- it agrees with the trainer's forward pass up to float32 rounding (a test compares them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Response:
    """A sampled response: L tokens, the end token included if it was sampled."""

    token_ids: list[int]
    log_probs: list[float]
    truncated: bool


@dataclass
class _Cache:
    """Keys and values of one layer, float32[rows, heads, positions, head size]."""

    keys: Tensor
    values: Tensor

    def keep(self, rows: Tensor) -> None:
        self.keys, self.values = self.keys[rows], self.values[rows]


@torch.no_grad()
def sample(
    model: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int, end_token: int, generator: torch.Generator
) -> list[Response]:
    """One response per prompt.

    Args:
        model: a ``Qwen3ForCausalLM`` in float32.
        prompts: token ids, none empty.
        max_new_tokens: length limit; a response that reaches it without the end token is truncated.
        end_token: token that ends a response.
        generator: source of all randomness.
    """
    decoder = _Decoder(model, len(prompts), max(map(len, prompts)) + max_new_tokens)
    tokens: list[list[int]] = [[] for _ in prompts]
    log_probs: list[list[float]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    alive = list(range(len(prompts)))
    current = torch.tensor([prompt[0] for prompt in prompts])
    while alive:
        scores = functional.log_softmax(decoder.step(current), -1)
        drawn = torch.multinomial(scores.exp(), 1, generator=generator)
        taken = scores.gather(1, drawn)[:, 0].tolist()
        following, kept = [], []
        for place, (row, token) in enumerate(zip(alive, drawn[:, 0].tolist(), strict=True)):
            if decoder.position < len(prompts[row]):
                following.append(prompts[row][decoder.position])
                kept.append(place)
                continue
            tokens[row].append(token)
            log_probs[row].append(taken[place])
            ended[row] = token == end_token
            if not ended[row] and len(tokens[row]) < max_new_tokens:
                following.append(token)
                kept.append(place)
        if len(kept) < len(alive):
            alive = [alive[place] for place in kept]
            decoder.keep(torch.tensor(kept, dtype=torch.int64))
        current = torch.tensor(following)
    return [Response(*parts) for parts in zip(tokens, log_probs, (not end for end in ended), strict=True)]


class _Decoder:
    """One position at a time through the layers of a Qwen3 model."""

    def __init__(self, model: Any, rows: int, longest: int) -> None:
        self.model, self.position = model, 0
        configuration = model.config
        self.heads = configuration.num_attention_heads
        self.groups = configuration.num_key_value_heads
        self.head_size = configuration.head_dim
        shape = (rows, self.groups, longest, self.head_size)
        self.caches = [_Cache(torch.empty(shape), torch.empty(shape)) for _ in model.model.layers]
        positions = torch.arange(longest)[None]
        cosine, sine = model.model.rotary_emb(torch.empty(1), positions)
        self.cosine, self.sine = cosine[0], sine[0]

    def keep(self, rows: Tensor) -> None:
        """Forget all rows but these."""
        for cache in self.caches:
            cache.keep(rows)

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token per row (int64[rows]); returns logits, float32[rows, vocabulary]."""
        states = self.model.model.embed_tokens(tokens)
        for layer, cache in zip(self.model.model.layers, self.caches, strict=True):
            states = states + self._attend(layer, layer.input_layernorm(states), cache)
            states = states + layer.mlp(layer.post_attention_layernorm(states))
        self.position += 1
        logits: Tensor = self.model.lm_head(self.model.model.norm(states))
        return logits

    def _attend(self, layer: Any, states: Tensor, cache: _Cache) -> Tensor:
        attention, at = layer.self_attn, self.position
        rows = len(states)
        queries = self._rotate(attention.q_norm(attention.q_proj(states).view(rows, self.heads, self.head_size)))
        cache.keys[:, :, at] = self._rotate(
            attention.k_norm(attention.k_proj(states).view(rows, self.groups, self.head_size))
        )
        cache.values[:, :, at] = attention.v_proj(states).view(rows, self.groups, self.head_size)
        # Query heads that share a key head are rows of one product.
        queries = queries.view(rows, self.groups, self.heads // self.groups, self.head_size)
        scores = queries @ cache.keys[:, :, : at + 1].transpose(2, 3)
        weights = functional.softmax(scores * attention.scaling, -1)
        mixed = weights @ cache.values[:, :, : at + 1]
        output: Tensor = attention.o_proj(mixed.reshape(rows, -1))
        return output

    def _rotate(self, vectors: Tensor) -> Tensor:
        """Rotary position embedding of float32[rows, heads, head size]."""
        first, second = vectors.chunk(2, -1)
        turned = torch.cat((-second, first), -1)
        return vectors * self.cosine[self.position] + turned * self.sine[self.position]
