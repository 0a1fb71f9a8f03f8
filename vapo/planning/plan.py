"""From quantities to a plan: what is needed, what to expect, what limits, and what to do about it.

Invariant: the step's limit is always named first; each finding says the remedy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vapo.planning import closed_forms
from vapo.planning.quantities import Deployment, ModelSize, Rates, Workload
from vapo.planning.simulation import SimulatedAverages, simulate

NOTICEABLE = 0.1
"""Share of a step from which something is worth a word."""
TAIL = 1.05
"""Simulated over closed-form step time from which the long responses are the reason."""
REDIS_COMFORT = 0.5
"""Share of its one thread that Redis may be busy before workers feel it."""


@dataclass(frozen=True)
class Bottleneck:
    """Something that limits, and the remedy."""

    what: str
    detail: str
    remedy: str


@dataclass(frozen=True)
class Plan:
    """All that ``vapo plan`` prints."""

    work: Workload
    rates: Rates
    model: ModelSize
    deployment: Deployment
    outcome: SimulatedAverages
    figures: dict[str, float | None]
    """Closed forms: seconds, bytes, counts, by name."""
    findings: tuple[Bottleneck, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def make_plan(
    work: Workload, rates: Rates, model: ModelSize, deployment: Deployment, steps: int = 30, seed: int = 0
) -> Plan:
    """Work everything out; the simulation takes ``steps`` training steps.

    Raises:
        ValueError: response lengths that cannot be.
    """
    outcome = simulate(work, rates, steps, warm_up=steps // 3, seed=seed)
    figures = _figures(work, rates, model, deployment)
    findings = (_step_limit(work, rates, outcome), *_warnings(work, rates, model, deployment, outcome))
    return Plan(work, rates, model, deployment, outcome, figures, findings)


def _figures(work: Workload, rates: Rates, model: ModelSize, deployment: Deployment) -> dict[str, float | None]:
    into, out = closed_forms.redis_traffic(work)
    direct = closed_forms.sync_bytes(model, rates, deployment, relay=False)
    relayed = closed_forms.sync_bytes(model, rates, deployment, relay=True)
    return {
        "step_tokens": closed_forms.step_tokens(work),
        "generation_seconds": closed_forms.generation_seconds(work, rates),
        "training_seconds": closed_forms.training_seconds(work, rates),
        "step_seconds": closed_forms.step_seconds(work, rates),
        "generators_needed": closed_forms.generators_needed(work, rates),
        "redis_bytes": closed_forms.redis_bytes(work, deployment),
        "redis_bytes_kept_per_step": closed_forms.redis_bytes_per_step_kept(work),
        "redis_bytes_in_per_step": into,
        "redis_bytes_out_per_step": out,
        "redis_busy_seconds_per_step": closed_forms.redis_busy_seconds(work),
        "weight_bytes": model.weight_bytes,
        "sync_bytes": direct,
        "sync_seconds": direct / deployment.uplink_bytes_per_second,
        "sync_bytes_relay": relayed,
        "sync_seconds_relay": relayed / deployment.uplink_bytes_per_second,
        "checkpoint_bytes": closed_forms.checkpoint_bytes(model),
        "checkpoints_bytes": (deployment.keep_checkpoints + 1) * closed_forms.checkpoint_bytes(model),
        "cache_bytes_per_token": model.cache_bytes_per_token or None,
        "sequences_that_fit": closed_forms.sequences_that_fit(work, model, deployment),
    }


def _step_limit(work: Workload, rates: Rates, outcome: SimulatedAverages) -> Bottleneck:
    generation = closed_forms.generation_seconds(work, rates)
    training = closed_forms.training_seconds(work, rates)
    expected = closed_forms.step_seconds(work, rates)
    sides = f"generation takes {generation:.3g} s a step, training {training:.3g} s"
    if work.max_staleness == 0:
        return Bottleneck(
            "both sides in turn",
            f"{sides}, one after the other: max_staleness is 0",
            "allow max_staleness 1, and they overlap",
        )
    needed = closed_forms.generators_needed(work, rates)
    if needed is None:
        return Bottleneck(
            "weight updates",
            f"{sides}, and generation stands still for "
            f"{rates.standstill_seconds:.3g} s an update: no number of generators is "
            "enough",
            f"publish every few steps ({_publish_less(work)}), or larger steps",
        )
    if outcome.step_seconds > TAIL * expected:
        return Bottleneck(
            "the longest responses",
            f"{sides}, yet a step takes {outcome.step_seconds:.3g} s: the "
            "fleet runs half empty while the last responses end, or has too few places",
            "raise max_staleness, or the places of a generator, or shorten max_new_tokens",
        )
    if generation > training:
        return Bottleneck(
            "generation", sides, f"{needed} generators would keep the trainer busy; there are {rates.generators}"
        )
    spare = f"; {needed} generators would do" if needed < rates.generators else ""
    return Bottleneck("the trainer", sides, f"more trainer GPUs{spare}")


def _warnings(
    work: Workload, rates: Rates, model: ModelSize, deployment: Deployment, outcome: SimulatedAverages
) -> list[Bottleneck]:
    found = [
        _redis_memory(work, deployment),
        _redis_time(work, outcome),
        _network(work, rates, model, deployment, outcome),
        _standstill(work, rates, outcome),
        _places(work, rates, model, deployment),
        _drops(work, outcome),
    ]
    return [finding for finding in found if finding is not None]


def _redis_memory(work: Workload, deployment: Deployment) -> Bottleneck | None:
    needed = closed_forms.redis_bytes(work, deployment)
    if needed <= deployment.redis_memory_bytes:
        return None
    return Bottleneck(
        "Redis memory",
        f"{needed / 2**30:.3g} GiB of rollouts, {deployment.redis_memory_bytes / 2**30:.3g} GiB there",
        "checkpoint more often (trained rollouts are kept until one is durable), lower "
        "ledger.retained_rollouts or max_staleness, or give Redis more memory",
    )


def _redis_time(work: Workload, outcome: SimulatedAverages) -> Bottleneck | None:
    share = closed_forms.redis_busy_seconds(work) / outcome.step_seconds
    if share <= REDIS_COMFORT:
        return None
    return Bottleneck(
        "Redis' one thread",
        f"busy {share:.0%} of the time",
        "a host of its own with faster cores; one run is one cluster slot, so a cluster helps several runs, not one",
    )


def _network(
    work: Workload, rates: Rates, model: ModelSize, deployment: Deployment, outcome: SimulatedAverages
) -> Bottleneck | None:
    direct, relayed = (
        closed_forms.sync_bytes(model, rates, deployment, relay) / deployment.uplink_bytes_per_second
        for relay in (False, True)
    )
    if direct <= NOTICEABLE * outcome.step_seconds:
        return None
    if relayed < 0.9 * direct:
        remedy = f"a relay on each host of generators ({relayed:.3g} s)"
    else:
        remedy = f"a faster link, or {_publish_less(work)}"
    return Bottleneck(
        "the trainer's uplink",
        f"one publication takes {direct:.3g} s of a step's "
        f"{outcome.step_seconds:.3g} s; generators begin nothing new meanwhile",
        remedy,
    )


def _standstill(work: Workload, rates: Rates, outcome: SimulatedAverages) -> Bottleneck | None:
    share = rates.standstill_seconds / outcome.step_seconds
    if share <= NOTICEABLE:
        return None
    return Bottleneck(
        "the standstill of updates",
        f"generation stands still {share:.0%} of the time",
        f"larger steps, or {_publish_less(work)}",
    )


def _publish_less(work: Workload) -> str:
    """Advice that the settings accept: weights may be as old as the staleness limit, not older."""
    most = work.max_staleness + 1
    if most > 1:
        return f"trainer.publish_every_steps up to {most} (ledger.max_staleness + 1)"
    return "ledger.max_staleness 1, and with it trainer.publish_every_steps 2"


def _places(work: Workload, rates: Rates, model: ModelSize, deployment: Deployment) -> Bottleneck | None:
    fit = closed_forms.sequences_that_fit(work, model, deployment)
    if fit is None or fit >= rates.sequences:
        return None
    return Bottleneck(
        "the key-value cache",
        f"{fit} responses of mean length fit at once, generator.max_concurrent_sequences is {rates.sequences}",
        "tensor parallelism, or fewer concurrent sequences: vLLM recomputes what it has to evict",
    )


def _drops(work: Workload, outcome: SimulatedAverages) -> Bottleneck | None:
    if outcome.dropped_fraction <= NOTICEABLE / 10:
        return None
    return Bottleneck(
        "staleness",
        f"{outcome.dropped_fraction:.1%} of the rollouts are too old when "
        f"their turn comes (max_staleness {work.max_staleness})",
        "fewer places than the admission capacity, shorter responses, or a higher limit with care",
    )
