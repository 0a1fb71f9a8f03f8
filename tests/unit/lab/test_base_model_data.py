from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from lab.base_model.data import IGNORED_LABEL, batches, encode
from lab.base_model.recipe import Recipe
from lab.base_model.tokenizer import build_tokenizer
from vapo.demo.chain.splits import Split, split_of


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(context_length=512)


def test_only_the_response_and_its_end_are_learnt(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = encode([("1+2=?", "\n\\boxed{3}"), ("10+2=?", "\n12")], tokenizer)
    assert batch.token_ids.shape == batch.labels.shape == (2, 16)
    for row, response in enumerate(["\n\\boxed{3}", "\n12"]):
        learnt = batch.labels[row][batch.labels[row] != IGNORED_LABEL]
        assert tokenizer.decode(learnt) == response + "<eos>"
    assert tokenizer.decode(batch.token_ids[1]) == "10+2=?\n12<eos>" + "<pad>" * 6
    aligned = batch.labels != IGNORED_LABEL
    assert (batch.labels[aligned] == batch.token_ids[aligned]).all()


def test_batches_follow_the_recipe_and_hold_only_warm_up_problems(tokenizer: PreTrainedTokenizerFast) -> None:
    recipe = Recipe(steps=11, batch_size=6, terms=(2, 3))
    problems = [tokenizer.decode(row).split("\n")[0] for batch in batches(recipe, tokenizer) for row in batch.token_ids]
    assert len(problems) == 11 * 6
    assert len(set(problems)) == len(problems)
    assert {split_of(problem) for problem in problems} == {Split.WARM_UP}


def test_batches_are_the_same_for_the_same_seed(tokenizer: PreTrainedTokenizerFast) -> None:
    def token_ids(seed: int) -> list[list[list[int]]]:
        recipe = Recipe(seed=seed, steps=3, batch_size=4)
        return [batch.token_ids.tolist() for batch in batches(recipe, tokenizer)]

    assert token_ids(0) == token_ids(0)
    assert token_ids(0) != token_ids(1)


def test_careful_share_falls_between_its_two_marks() -> None:
    recipe = Recipe(steps=100, careful_share_at_start=0.9, careful_share_at_end=0.3, mixing_from=0.5, mixing_to=0.7)
    shares = [recipe.careful_share(step) for step in (0, 50, 60, 70, 99)]
    assert shares == pytest.approx([0.9, 0.9, 0.6, 0.3, 0.3])


def test_learning_rate_rises_then_falls() -> None:
    recipe = Recipe(steps=100, learning_rate_warm_up=0.1)
    factors = [recipe.learning_rate_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == 1.0
    assert factors[:10] == sorted(factors[:10])
    assert factors[9:] == sorted(factors[9:], reverse=True)
    assert factors[-1] == pytest.approx(1 / 90)
