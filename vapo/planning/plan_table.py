"""A plan as a table for people."""

from __future__ import annotations

from vapo.planning.plan import Plan

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def plan_table(plan: Plan) -> str:
    """Several lines, no trailing newline."""
    rows = [*_step_rows(plan), *_redis_rows(plan), *_weight_rows(plan)]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {text}" for name, text in rows]
    first, *others = plan.findings
    findings = [f"Limits: {first.what}. {first.detail}.", f"  -> {first.remedy}"]
    for finding in others:
        findings += [f"Watch: {finding.what}. {finding.detail}.", f"  -> {finding.remedy}"]
    return "\n".join([_title(plan), *lines, "", *findings])


def _title(plan: Plan) -> str:
    work = plan.work
    return (
        f"{work.rollouts} rollouts a step ({work.prompts_per_step} prompts x "
        f"{work.samples_per_prompt}), {work.response_tokens:g} tokens on average, at most "
        f"{work.longest_response}; {plan.rates.generators} generators"
    )


def _step_rows(plan: Plan) -> list[tuple[str, str]]:
    figures, outcome = plan.figures, plan.outcome
    needed = figures["generators_needed"]
    return [
        ("generation", f"{figures['generation_seconds']:.4g} s a step"),
        ("training", f"{figures['training_seconds']:.4g} s a step"),
        (
            "step, simulated",
            f"{outcome.step_seconds:.4g} s (arithmetic: "
            f"{figures['step_seconds']:.4g} s), {outcome.tokens_per_second:.4g} tokens/s",
        ),
        ("busy", f"trainer {outcome.trainer_busy:.0%}, generators {outcome.generators_busy:.0%}"),
        ("generators that keep it busy", "no number" if needed is None else f"{needed:g}"),
        (
            "staleness",
            f"mean {outcome.staleness_mean:.2f}, most {outcome.staleness_max} "
            f"(max_staleness {plan.work.max_staleness}); "
            f"{outcome.dropped_fraction:.1%} dropped as stale",
        ),
    ]


def _redis_rows(plan: Plan) -> list[tuple[str, str]]:
    figures, seconds = plan.figures, plan.outcome.step_seconds
    into, out = figures["redis_bytes_in_per_step"], figures["redis_bytes_out_per_step"]
    busy = figures["redis_busy_seconds_per_step"] or 0.0
    return [
        (
            "Redis memory",
            f"{size(figures['redis_bytes'])}, and {size(figures['redis_bytes_kept_per_step'])} a step for good",
        ),
        (
            "Redis traffic",
            f"{size(into)} in, {size(out)} out a step; "
            f"{size((into or 0) / seconds)}/s in, {size((out or 0) / seconds)}/s out",
        ),
        ("Redis' thread", f"{busy:.3g} s a step, {busy / seconds:.1%} of the time"),
    ]


def _weight_rows(plan: Plan) -> list[tuple[str, str]]:
    figures = plan.figures
    rows = [
        ("weights", f"{size(figures['weight_bytes'])} an actor, as much a critic"),
        (
            "sync, file or http",
            f"{size(figures['sync_bytes'])} leave the trainer's host, {figures['sync_seconds']:.3g} s",
        ),
        ("sync, http with relays", f"{size(figures['sync_bytes_relay'])}, {figures['sync_seconds_relay']:.3g} s"),
        ("checkpoint", f"{size(figures['checkpoint_bytes'])} each, room for {size(figures['checkpoints_bytes'])}"),
    ]
    if figures["cache_bytes_per_token"]:
        fit = figures["sequences_that_fit"]
        rows.append(
            (
                "key-value cache",
                f"{size(figures['cache_bytes_per_token'])} a token"
                + (f"; {fit:g} responses fit" if fit is not None else ""),
            )
        )
    return rows


def size(count: float | None) -> str:
    """Bytes in decimal units: ``1.5 GB``."""
    amount = float(count or 0.0)
    for unit in UNITS:
        if amount < 1000 or unit == UNITS[-1]:
            break
        amount /= 1000
    return f"{amount:.3g} {unit}"
