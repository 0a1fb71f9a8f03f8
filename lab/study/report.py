"""From finished runs to ``results.json`` and the tables.

Invariants: a comparison is over the seeds that both variants have; all figures are of the held-out
accuracy after training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.study.statistics import Interval, mean_interval, paired_difference
from lab.study.store import Record, Runs
from lab.study.studies import Study

Records = Mapping[str, Mapping[int, Record]]
"""Variant -> seed -> a run's record."""

TITLES = {
    "ppo": "Vanilla PPO",
    "grpo": "GRPO",
    "dapo": "DAPO",
    "no_value_pretraining": "VAPO without value pretraining",
    "no_decoupled_gae": "VAPO without decoupled GAE",
    "no_length_adaptive_lambda": "VAPO without length-adaptive GAE",
    "no_value_pretraining_nor_decoupled": "VAPO without value pretraining and decoupled GAE",
    "no_length_adaptive_nor_decoupled": "VAPO without length-adaptive and decoupled GAE",
    "no_clip_higher": "VAPO without clip-higher",
    "no_token_level_loss": "VAPO without token-level loss",
    "no_positive_example_loss": "VAPO without positive-example LM loss",
    "no_group_sampling": "VAPO without group sampling",
    "vapo": "VAPO",
}
"""In the order of the paper's Table 1."""


def collect(study: Study, regime: str, seeds: int, runs: Runs) -> Records:
    """The finished runs of one regime."""
    records: dict[str, dict[int, dict[str, Any]]] = {}
    for name, configuration in study.configurations(seeds):
        record = runs.load(configuration) if name == regime else None
        if record is not None:
            records.setdefault(configuration.variant, {})[configuration.seed] = record
    return records


def accuracies(runs: Mapping[int, Mapping[str, Any]]) -> list[float]:
    """Held-out accuracy after training of a variant's runs, in order of seed."""
    return [runs[seed]["accuracy"] for seed in sorted(runs)]


def results(task: str, records: Records) -> dict[str, Any]:
    """The content of ``results.json``; seeds are accuracies in order of seed."""
    return {
        "task": task,
        "variants": {
            variant: rounded(mean_interval(values)) | {"seeds": [round(v, 4) for v in values]}
            for variant, values in ((name, accuracies(runs)) for name, runs in records.items())
        },
    }


def write_results(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with one variant per line."""
    file.write_text(_results_text(content, "") + "\n", "utf-8")


def write_map_results(file: Path, regimes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the :func:`results` of every regime of a map, under its name."""
    entries = ",\n".join(f"  {json.dumps(name)}: {_results_text(content, '  ')}" for name, content in regimes.items())
    file.write_text(f"{{\n{entries}\n}}\n", "utf-8")


def table(records: Records) -> str:
    """Markdown in the form of the paper's Table 1."""
    lines = [
        "| model | accuracy | 95 % interval | minus VAPO, paired | 95 % interval | seeds |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_table_row(variant, records) for variant in TITLES if variant in records]
    return "\n".join(lines)


def map_table(regimes: Mapping[str, Records], variants: Sequence[str]) -> str:
    """Markdown: one line per regime, mean and half interval of each variant.

    The last column is the number of seeds; one number per variant where they differ.
    """
    lines = [
        "| regime | " + " | ".join(TITLES[name] for name in variants) + " | seeds |",
        "|---" * (len(variants) + 2) + "|",
    ]
    for regime, records in regimes.items():
        cells = [_cell(records.get(name, {})) for name in variants]
        seeds = [len(records.get(name, {})) for name in variants]
        counts = seeds[:1] if len(set(seeds)) == 1 else seeds
        lines.append(f"| {regime} | {' | '.join(cells)} | {', '.join(map(str, counts))} |")
    return "\n".join(lines)


def pooled_table(regimes: Mapping[str, Records], variants: Sequence[str], reference: str = "vapo") -> str:
    """Markdown: differences from ``reference``, by regime and over the pairs of all regimes.

    A pair is one seed in one regime, where both runs saw the same problems in the same order.
    """
    lines = [f"| model | {' | '.join(regimes)} | all | 95 % interval | pairs |", "|---" * (len(regimes) + 4) + "|"]
    for variant in variants:
        pairs = [_pairs(records, variant, reference) for records in regimes.values()]
        everything = [pair for regime in pairs for pair in regime]
        cells = [f"{_paired(regime).mean:+.3f}" for regime in pairs]
        pooled = _paired(everything)
        lines.append(
            f"| {TITLES[variant]} | {' | '.join(cells)} | {pooled.mean:+.3f} | "
            f"{_bounds(pooled, '+.3f')} | {len(everything)} |"
        )
    return "\n".join(lines)


def _pairs(records: Records, variant: str, reference: str) -> list[tuple[float, float]]:
    shared = sorted(records[variant].keys() & records.get(reference, {}).keys())
    return [(records[variant][seed]["accuracy"], records[reference][seed]["accuracy"]) for seed in shared]


def _paired(pairs: Sequence[tuple[float, float]]) -> Interval:
    return paired_difference([ours for ours, _ in pairs], [theirs for _, theirs in pairs])


def _results_text(content: Mapping[str, Any], indent: str) -> str:
    lines = ",\n".join(
        f"{indent}    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in content["variants"].items()
    )
    return (
        f'{{\n{indent}  "task": {json.dumps(content["task"])},\n'
        f'{indent}  "variants": {{\n{lines}\n{indent}  }}\n{indent}}}'
    )


def _table_row(variant: str, records: Records) -> str:
    runs = records[variant]
    level = mean_interval(accuracies(runs))
    cells = [TITLES[variant], f"{level.mean:.3f}", _bounds(level)]
    pairs = _pairs(records, variant, "vapo")
    if variant == "vapo" or not pairs:
        cells += ["", ""]
    else:
        difference = _paired(pairs)
        cells += [f"{difference.mean:+.3f}", _bounds(difference, "+.3f")]
    return f"| {' | '.join(cells)} | {len(runs)} |"


def _cell(runs: Mapping[int, dict[str, Any]]) -> str:
    if not runs:
        return ""
    level = mean_interval(accuracies(runs))
    return f"{level.mean:.2f}" + ("" if math.isnan(level.low) else f" ± {level.high - level.mean:.2f}")


def _bounds(interval: Interval, form: str = ".3f") -> str:
    if math.isnan(interval.low):
        return "unknown (one seed)"
    return f"{interval.low:{form}} to {interval.high:{form}}"


def rounded(interval: Interval) -> dict[str, float | None]:
    """Mean and bounds for JSON, which has no NaN: an unknown bound is null."""
    return {
        name: None if math.isnan(value) else round(value, 4)
        for name, value in (("mean", interval.mean), ("low", interval.low), ("high", interval.high))
    }
