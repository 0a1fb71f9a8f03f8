"""The critic's values: where they are read, and that nothing else on the batch moves them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.support.trainer_cases import FORMS, tiny_critic, tiny_folder
from vapo.model.critic import CriticError, load_critic, load_weights, save_critic, score
from vapo.model.packing import TokenSequence


def _sequences(count: int, seed: int = 0) -> list[TokenSequence]:
    random = np.random.default_rng(seed)
    return [
        TokenSequence(
            random.integers(3, 60, int(random.integers(1, 9))).astype(np.int32),
            random.integers(3, 60, int(random.integers(1, 30))).astype(np.int32),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("form", FORMS)
def test_values_do_not_depend_on_padding_packing_or_batch_mates(form: str) -> None:
    critic = tiny_critic(form)
    sequences = _sequences(17)
    alone = [score(critic, [sequence], 1)[0] for sequence in sequences]
    for budget in (40, 100, 1000):
        together = score(critic, sequences, budget)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-6)
    assert np.ptp(np.concatenate(alone)) > 0.1


@pytest.mark.parametrize("form", FORMS)
def test_values_within_the_original_length_of_longrope(tmp_path: Path, form: str) -> None:
    folder = tiny_folder(tmp_path, form)
    config = json.loads((folder / "config.json").read_text())
    pairs = config.get("head_dim", 8) // 2
    config["rope_parameters"] = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "original_max_position_embeddings": 40,
        "short_factor": [1.5] * pairs,
        "long_factor": [9.0] * pairs,
    }
    (folder / "config.json").write_text(json.dumps(config))
    critic = load_critic(folder)
    torch.nn.init.normal_(critic.value_head.weight, std=0.3)
    saved = load_critic(folder, critic.state_dict())
    sequences = _sequences(17)
    alone = [score(critic, [sequence], 1)[0] for sequence in sequences]
    for one in (critic, saved):
        for first, other in zip(alone, score(one, sequences, 1000), strict=True):
            np.testing.assert_allclose(first, other, atol=2e-6)


def test_value_of_a_state_is_read_at_the_previous_token() -> None:
    critic = tiny_critic()
    sequence = _sequences(1)[0]
    tokens = np.concatenate((sequence.prompt, sequence.response))
    (values,) = score(critic, [sequence], 1000)
    assert values.shape == (sequence.response.size + 1,)
    for step in range(values.size):
        seen = torch.from_numpy(tokens[: sequence.prompt.size + step]).long()[None]
        state = critic.model(input_ids=seen).last_hidden_state[0, -1]
        assert values[step] == pytest.approx(critic.value_head(state).item(), abs=2e-6)


def test_later_tokens_do_not_reach_earlier_values() -> None:
    critic = tiny_critic()
    sequence = _sequences(1, seed=3)[0]
    shorter = TokenSequence(sequence.prompt, sequence.response[:-1])
    (whole,), (cut,) = score(critic, [sequence], 1000), score(critic, [shorter], 1000)
    np.testing.assert_allclose(whole[:-1], cut, atol=2e-6)


@pytest.mark.parametrize("tied", [False, True])
def test_a_new_critic_starts_from_the_actor_with_zero_values(tmp_path: Path, tied: bool) -> None:
    folder = tiny_folder(tmp_path / "actor", tied=tied)
    critic = load_critic(folder)
    actor = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    names = set(critic.state_dict()) - {"value_head.weight", "value_head.bias"}
    assert names == set(actor) - {"lm_head.weight"}
    assert all(torch.equal(critic.state_dict()[name], actor[name]) for name in names)
    assert not score(critic, _sequences(2), 100)[0].any()


def test_a_saved_critic_loads_again(tmp_path: Path) -> None:
    critic = tiny_critic()
    save_critic(critic, tmp_path / "critic")
    again = load_critic(tmp_path / "critic")
    for one, other in zip(score(critic, _sequences(3), 99), score(again, _sequences(3), 99), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_that_do_not_fit_are_refused_and_change_nothing(tmp_path: Path) -> None:
    critic = tiny_critic()
    before = {name: tensor.clone() for name, tensor in critic.state_dict().items()}
    save_critic(tiny_critic(seed=5), tmp_path)
    weights = load_file(tmp_path / "critic.safetensors")
    weights.pop("value_head.bias")
    with pytest.raises(CriticError, match=r"value_head\.bias"):
        load_weights(critic, weights)
    assert all(torch.equal(before[name], critic.state_dict()[name]) for name in before)


def test_values_stay_float32_when_the_backbone_computes_in_bfloat16() -> None:
    critic = tiny_critic()
    critic.model.to(torch.bfloat16)
    ids = torch.arange(3, 13)[None]
    values = critic(ids, torch.arange(10)[None], torch.arange(10))
    assert values.dtype == torch.float32
    assert not torch.equal(values, values.to(torch.bfloat16).float())
