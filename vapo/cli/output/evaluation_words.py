"""An evaluation's result as a person reads it: scores, what they rest on, and what speaks against
them.
"""

from __future__ import annotations

from typing import Any

LARGE_SHARE_CUT = 0.2
"""From this share of responses cut at their limit on, the score says little of the policy."""


def describe(result: dict[str, Any]) -> list[str]:
    """The whole of it, line by line."""
    return [*_scores(result), *_extent(result), *warnings(result)]


def warnings(result: dict[str, Any]) -> list[str]:
    """What a reader of the scores has to know beside them."""
    return [*_cut(result), *_lost(result)]


def has_failed(result: dict[str, Any]) -> bool:
    """Whether responses are missing from the scores because a part failed, or all are."""
    return bool(result["failed"]) or result.get("avg_at_k") is None


def _scores(result: dict[str, Any]) -> list[str]:
    samples = result["samples"]
    if result.get("avg_at_k") is None:
        return [f"avg@{samples} none: no response was judged"]
    passes = "  ".join(f"pass@{size} {share:.4f}" for size, share in result["pass_at_k"].items())
    return [
        f"avg@{samples} {result['avg_at_k']:.4f} ± {result['standard_error']:.4f}   "
        f"maj@{samples} {result['maj_at_k']:.4f}",
        passes,
    ]


def _extent(result: dict[str, Any]) -> list[str]:
    lines = [
        f"{result['problems']} problems, {result['responses']} responses, temperature "
        f"{result['temperature']}, top-p {result['top_p']}, "
        f"at most {result['max_new_tokens']} tokens"
    ]
    if "mean_length" in result:
        lines.append(
            f"mean length {result['mean_length']:.1f} tokens, {result['truncated']:.1%} cut, "
            f"weight versions {result['oldest_weight_version']} to "
            f"{result['newest_weight_version']}"
        )
    return lines


def _cut(result: dict[str, Any]) -> list[str]:
    share = result.get("truncated", 0.0)
    if share < LARGE_SHARE_CUT:
        return []
    return [
        f"{100 * share:.0f} % of responses were cut at max_new_tokens={result['max_new_tokens']}: "
        "the score says little; raise --max-new-tokens"
    ]


def _lost(result: dict[str, Any]) -> list[str]:
    failed, not_judged = result["failed"], result["not_judged"]
    lines = []
    if failed:
        lines.append(
            f"{failed} of {result['responses']} responses failed; the scores are without them (GET /v1/dead-letters)"
        )
    if not_judged:
        lines.append(f"{not_judged} responses could not be judged; the scores are without them")
    reasons = result.get("reasons", [])
    return lines + [f"  {one['responses']} times: {one['reason']}" for one in reasons]
