"""The named studies: which variants in which regimes.

``main`` is the ablation study itself; the others look at other regimes, those of several regimes
mostly with the four methods alone. Runs that two studies have in common are the same runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lab.study.configuration import Configuration, Regime
from lab.study.demo_task import DemoTask
from lab.study.task import TaskShape, response_length
from lab.study.variants import BASELINES, COMBINED, VARIANTS, configure

METHODS = ("vapo", *BASELINES)
KEY_PIECES = ("no_value_pretraining", "no_decoupled_gae", "no_length_adaptive_lambda")
"""Variants without one of the three pieces that matter most in the paper's Table 1."""
MAIN = "main"


@dataclass(frozen=True)
class Study:
    """A grid of regimes and variants."""

    summary: str
    regimes: Mapping[str, Regime]
    variants: tuple[str, ...]

    def configurations(self, seeds: int) -> list[tuple[str, Configuration]]:
        """All runs as (regime's name, configuration), seed by seed, so that a study that was
        stopped early has complete pairs."""
        return [
            (name, configure(variant, seed, regime))
            for seed in range(seeds)
            for name, regime in self.regimes.items()
            for variant in self.variants
        ]

    def narrowed(self, regimes: Sequence[str] | None, variants: Sequence[str] | None) -> Study:
        """The part of the study with these regimes and variants; None: all.

        Raises:
            ValueError: no such regime.
        """
        unknown = set(regimes or ()) - self.regimes.keys()
        if unknown:
            raise ValueError(f"regimes {sorted(unknown)} are not in this study; it has {', '.join(self.regimes)}")
        return replace(
            self,
            regimes={name: self.regimes[name] for name in regimes or self.regimes},
            variants=tuple(variants or self.variants),
        )


_MAIN = Regime()
_LENGTHS = {
    f"working-{times}": replace(
        _MAIN, task=TaskShape(working=(times, times, times)), max_new_tokens=3 * response_length(8, times) // 2
    )
    for times in (1, 6, 29)
}
_MIXED = replace(_MAIN, task=TaskShape(terms=(1, 2, 4, 8, 12)), max_new_tokens=150)

DEMO = Regime(
    task=DemoTask(),
    rollout_budget=24 * 64,
    rollouts_per_step=64,
    samples_per_prompt=8,
    mini_batches=2,
    pretraining_steps=2,
    pretraining_epochs=1,
    actor_learning_rate=3e-4,
    critic_learning_rate=1e-3,
    warmup_steps=2,
    max_new_tokens=224,
    held_out_problems=200,
)
"""As ``vapo demo`` has it, but half as many responses a step and two steps of value pretraining in
place of four, so that a run takes about a minute of one core."""

_SMOKE = Regime(
    task=TaskShape(terms=(2,)),
    base_steps=3,
    rollout_budget=32,
    rollouts_per_step=8,
    samples_per_prompt=2,
    pretraining_steps=1,
    pretraining_epochs=1,
    max_new_tokens=24,
    held_out_problems=4,
    held_out_samples=1,
)

STUDIES: dict[str, Study] = {
    MAIN: Study("VAPO, leave-one-out variants and baselines", {"main": _MAIN}, VARIANTS),
    "samples": Study(
        "responses per prompt, at equal rollouts",
        {f"samples-{samples}": replace(_MAIN, samples_per_prompt=samples) for samples in (1, 2, 8)},
        METHODS,
    ),
    "lengths": Study("responses of 67, 147 and 515 tokens, always eight lines with eight choices", _LENGTHS, METHODS),
    "steady": Study(
        "every variant at half of main's learning rate, where runs of one method are alike",
        {"steady": replace(_MAIN, actor_learning_rate=5e-4)},
        VARIANTS,
    ),
    "long": Study(
        "responses of 515 tokens: the methods, and VAPO without the three pieces that matter most",
        {"long": _LENGTHS["working-29"]},
        ("vapo", *KEY_PIECES, *BASELINES),
    ),
    "rates": Study(
        "the actor's learning rate, since no single one suits every method",
        {f"rate-{rate:g}": replace(_MAIN, actor_learning_rate=rate) for rate in (1e-4, 3e-4, 5e-4, 1e-3, 2e-3, 4e-3)},
        METHODS,
    ),
    "sparsity": Study(
        "how often the base model is right: 27, 11, 4 or 1 % of its responses, at two rates",
        {
            f"slip-{slip:g}-rate-{rate:g}": replace(_MAIN, task=TaskShape(slip=slip), actor_learning_rate=rate)
            for slip in (0.2, 0.35, 0.5, 0.65)
            for rate in (3e-4, 1e-3)
        },
        METHODS,
    ),
    "demo": Study(
        "the task, the base model and the rates of `vapo demo`, where reward is frequent", {"demo": DEMO}, VARIANTS
    ),
    "mixed": Study(
        "problems of 1 to 12 lines, whose difficulty a critic can see",
        {"mixed": _MIXED},
        ("vapo", *KEY_PIECES, *BASELINES),
    ),
    "mixed-rates": Study(
        "the actor's learning rate on problems of mixed length",
        {f"mixed-{rate:g}": replace(_MIXED, actor_learning_rate=rate) for rate in (3e-4, 5e-4, 1e-3)},
        METHODS,
    ),
    "alpha": Study(
        "shorter horizons of the policy's lambda where the critic explains something",
        {f"alpha-{alpha:g}": replace(_MIXED, alpha=alpha) for alpha in (0.05, 0.15)},
        ("vapo", *KEY_PIECES),
    ),
    "decoupled": Study(
        "decoupled GAE beside no value pretraining, and beside a fixed lambda of the policy",
        {"main": _MAIN, "mixed": _MIXED, "long": _LENGTHS["working-29"]},
        ("vapo", "no_value_pretraining", "no_length_adaptive_lambda", *COMBINED),
    ),
    "staleness": Study(
        "rollouts from weights that are 0 to 8 rollout steps old",
        {f"staleness-{steps}": replace(_MAIN, staleness=steps) for steps in (0, 2, 4, 8)},
        METHODS,
    ),
    "smoke": Study("a few seconds, to see that everything works", {"smoke": _SMOKE}, VARIANTS),
}
