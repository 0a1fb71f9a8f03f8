"""The tables of a study, worked out by hand."""

from __future__ import annotations

from lab.study.report import Records, map_table, pooled_table, table


def _records(**accuracies: dict[int, float]) -> Records:
    return {
        variant: {seed: {"accuracy": value} for seed, value in runs.items()} for variant, runs in accuracies.items()
    }


ONE = _records(vapo={0: 0.5, 1: 0.7, 2: 0.9}, ppo={0: 0.4, 1: 0.5})
OTHER = _records(vapo={0: 0.6}, ppo={0: 0.3, 5: 1.0})


def test_a_difference_is_over_the_seeds_both_have() -> None:
    rows = table(ONE).splitlines()
    # -0.1 and -0.2: mean -0.15, half interval 12.7062 * 0.0707 / sqrt(2) = 0.635.
    assert rows[2] == "| Vanilla PPO | 0.450 | -0.185 to 1.085 | -0.150 | -0.785 to +0.485 | 2 |"
    assert rows[3].endswith("|  |  | 3 |")


def test_pooled_pairs_count_once_each_whatever_their_regime() -> None:
    row = pooled_table({"one": ONE, "other": OTHER}, ("ppo",)).splitlines()[2]
    # -0.1, -0.2, -0.3: mean -0.2, half interval 4.3027 * 0.1 / sqrt(3) = 0.248.
    assert row == "| Vanilla PPO | -0.150 | -0.300 | -0.200 | -0.448 to +0.048 | 3 |"


def test_pooled_differences_are_from_the_reference_that_is_named() -> None:
    row = pooled_table({"one": ONE}, ("vapo",), reference="ppo").splitlines()[2]
    assert row == "| VAPO | +0.150 | +0.150 | -0.485 to +0.785 | 2 |"


def test_a_map_says_where_variants_have_different_seeds() -> None:
    rows = map_table({"one": ONE, "other": OTHER}, ("vapo", "ppo")).splitlines()
    assert rows[2] == "| one | 0.70 ± 0.50 | 0.45 ± 0.64 | 3, 2 |"
    assert rows[3] == "| other | 0.60 | 0.65 ± 4.45 | 1, 2 |"
