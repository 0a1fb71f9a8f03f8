"""Advantages and value targets of a rollout batch: compiled, against a per-token torch loop.

    python -m lab.benchmarks.advantages [--rows 512] [--tokens 8192] [--repeats 50] [--ragged]

Both compute both, all rows, same numbers. Prints one JSON object: best seconds of each, their
ratio, the largest difference.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

from trainer.algorithm.advantages import AdvantagesAndTargets, decoupled_gae
from trainer.algorithm.lambdas import constant_lambda, length_adaptive_lambda

ALPHA = 0.05


def per_token_loop(
    values: Tensor, lengths: Tensor, rewards: Tensor, lambda_policy: Tensor, lambda_critic: Tensor
) -> AdvantagesAndTargets:
    """Eq 3 backwards twice, one Python step per token, all rows at once."""
    rows, width = lengths.numel(), int(lengths.max())
    real = torch.arange(width, device=values.device) < lengths[:, None]
    padded = torch.zeros(rows, width, device=values.device, dtype=values.dtype)
    padded[real] = values
    policy = _recursion(padded, real, lengths, rewards, lambda_policy.to(values.dtype))
    critic = _recursion(padded, real, lengths, rewards, lambda_critic.to(values.dtype))
    return AdvantagesAndTargets(policy[real], critic[real] + values)


def _recursion(values: Tensor, real: Tensor, lengths: Tensor, rewards: Tensor, discounts: Tensor) -> Tensor:
    result = torch.zeros_like(values)
    following_value, following = torch.zeros_like(rewards), torch.zeros_like(rewards)
    for t in range(values.shape[1] - 1, -1, -1):
        reward = torch.where(lengths - 1 == t, rewards, 0.0)
        advantage = reward + following_value - values[:, t] + discounts * following
        following = torch.where(real[:, t], advantage, 0.0)
        following_value = torch.where(real[:, t], values[:, t], 0.0)
        result[:, t] = following
    return result


def best_seconds(work: Callable[[], AdvantagesAndTargets], repeats: int, device: torch.device) -> float:
    """Shortest of ``repeats`` timings, after one run to warm up."""
    work()
    timings = []
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        timings.append(time.perf_counter() - start)
    return min(timings)


def measure(rows: int, tokens: int, repeats: int, ragged: bool) -> dict[str, object]:
    """Time both on the same random batch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    lengths = torch.full((rows,), tokens, device=device)
    if ragged:
        lengths = torch.randint(1, tokens + 1, (rows,), device=device)
    values = torch.rand(int(lengths.sum()), device=device) * 2 - 1
    rewards = torch.randint(0, 2, (rows,), device=device) * 2.0 - 1.0
    final_values = torch.zeros(rows, device=device)
    policy, critic = length_adaptive_lambda(lengths, ALPHA), constant_lambda(lengths, 1.0)

    def compiled() -> AdvantagesAndTargets:
        return decoupled_gae(values, lengths, rewards, final_values, policy, critic)

    def loop() -> AdvantagesAndTargets:
        return per_token_loop(values, lengths, rewards, policy, critic)

    fast = best_seconds(compiled, repeats, device)
    slow = best_seconds(loop, max(1, repeats // 10), device)
    differences = [(one - other).abs().max().item() for one, other in zip(compiled(), loop(), strict=True)]
    return {
        "device": str(device),
        "rows": rows,
        "tokens": int(lengths.sum()),
        "compiled_seconds": round(fast, 5),
        "loop_seconds": round(slow, 5),
        "ratio": round(slow / fast, 1),
        "largest_difference": max(differences),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--ragged", action="store_true", help="lengths uniform in 1..TOKENS")
    options = parser.parse_args()
    print(json.dumps(measure(options.rows, options.tokens, options.repeats, options.ragged)))


if __name__ == "__main__":
    main()
