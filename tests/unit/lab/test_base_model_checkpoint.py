from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lab.base_model.__main__ import main
from lab.base_model.checkpoint import make_checkpoint
from lab.base_model.data import Batch, batches
from lab.base_model.model import build_model
from lab.base_model.recipe import ModelShape, Recipe
from lab.base_model.tokenizer import build_tokenizer
from lab.base_model.training import Progress, response_loss, train

TINY = ModelShape(
    hidden_size=16,
    layers=1,
    attention_heads=2,
    key_value_heads=1,
    head_size=8,
    feed_forward_size=32,
    context_length=256,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_recipe(seed: int = 0, steps: int = 4) -> Recipe:
    return Recipe(seed=seed, steps=steps, batch_size=4, terms=(2, 3), shape=TINY)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    for name, seed in [("first", 0), ("second", 0), ("other", 1)]:
        make_checkpoint(tiny_recipe(seed), tmp_path / name, held_out_problems=0)
    weights = {name: load_file(tmp_path / name / "model.safetensors") for name in ("first", "second", "other")}
    for name, tensor in weights["first"].items():
        assert torch.equal(tensor, weights["second"][name]), name
    head = "lm_head.weight"
    assert not torch.equal(weights["first"][head], weights["other"][head])


def test_the_folder_loads_and_tells_its_recipe(tmp_path: Path) -> None:
    recipe = tiny_recipe(seed=5)
    measured = make_checkpoint(recipe, tmp_path, held_out_problems=4)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert set(measured) == {"avg@4 at temperature 1.0", "greedy"}
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "--seed 5 --steps 4 --batch-size 4 --terms 2 3" in card
    assert "| `shape.hidden_size` | 16 |" in card


def test_training_lowers_the_loss() -> None:
    recipe = tiny_recipe(steps=40)
    tokenizer = build_tokenizer(TINY.context_length)
    model = build_model(TINY, tokenizer, recipe.seed)
    progress: list[Progress] = []
    train(model, batches(recipe, tokenizer), recipe, progress.append)
    assert [one.step for one in progress] == list(range(1, 41))
    assert progress[-1].loss < 0.7 * progress[0].loss


def test_padding_does_not_change_the_loss() -> None:
    tokenizer = build_tokenizer(TINY.context_length)
    model = build_model(TINY, tokenizer, seed=0)
    batch = next(batches(tiny_recipe(), tokenizer))
    rows = batch.token_ids.shape[0]
    padded = Batch(
        torch.cat([batch.token_ids, torch.zeros(rows, 7, dtype=torch.int64)], dim=1),
        torch.cat([batch.labels, torch.full((rows, 7), -100)], dim=1),
    )
    torch.testing.assert_close(response_loss(model, padded), response_loss(model, batch))


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = "--steps 1 --batch-size 2 --terms 2 --held-out-problems 0"
    main(["--out", str(tmp_path / "base"), *size.split()])
    assert "written to" in capsys.readouterr().out
    assert (tmp_path / "base" / "model.safetensors").is_file()
