"""Log-probs of packed response tokens against transformers' own logits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tests.support.trainer_cases import ALONE, FORMS, random_rows, tiny_folder, tiny_policy, trainer_settings
from trainer.learning.batch import RolloutBatch, TrainingRow
from trainer.learning.micro_batches import MicroBatch, micro_batches
from trainer.learning.policy import Policy, enable_gradient_checkpointing, load_policy
from vapo.model.critic import load_critic
from vapo.model.folder.contents import ModelFolderError
from vapo.model.folder.form import ModelFormError


def _reference(policy: Policy, row: TrainingRow) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs and entropies of one row from a plain forward pass of the whole causal LM."""
    prompt = torch.from_numpy(row.prompt_token_ids).long()
    response = torch.from_numpy(row.response_token_ids).long()
    logits = policy.causal_lm(input_ids=torch.cat((prompt, response))[None]).logits[0]
    table = torch.log_softmax(logits[len(prompt) - 1 : -1] / row.temperature, -1)
    return table[torch.arange(len(response)), response], -(table.exp() * table).sum(-1)


def _packed(rows: list[TrainingRow], token_budget: int) -> list[MicroBatch]:
    return micro_batches(RolloutBatch(rows), range(len(rows)), trainer_settings(token_budget=token_budget), ALONE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tied", [False, True])
def test_log_probs_and_entropy_match_a_plain_forward(form: str, tied: bool) -> None:
    policy = tiny_policy(form, tied)
    rows = [dataclasses.replace(row, temperature=0.7 + 0.1 * (number % 4)) for number, row in enumerate(random_rows(9))]
    for micro in _packed(rows, 64):
        scores = policy(micro)
        expected = [_reference(policy, rows[number]) for number in micro.rows.tolist()]
        torch.testing.assert_close(scores.log_probs, torch.cat([e[0] for e in expected]), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(scores.entropy, torch.cat([e[1] for e in expected]), atol=1e-5, rtol=1e-5)


def test_chunked_logits_and_gradient_checkpointing_change_nothing() -> None:
    (micro,) = _packed(random_rows(9), 1000)
    plain, thrifty = tiny_policy().double(), tiny_policy().double()
    thrifty.chunk_elements = 61 * 5
    enable_gradient_checkpointing(thrifty.causal_lm)
    outputs = [policy(micro) for policy in (plain, thrifty)]
    for output in outputs:
        (output.log_probs * torch.arange(len(micro.actions))).sum().backward()
    torch.testing.assert_close(outputs[0].log_probs, outputs[1].log_probs)
    torch.testing.assert_close(outputs[0].entropy, outputs[1].entropy)
    for one, other in zip(plain.parameters(), thrifty.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_dropped_out_even_if_the_base_model_was_trained_so(tmp_path: Path, form: str) -> None:
    file = tiny_folder(tmp_path, form) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "attention_dropout": 0.5}))
    (micro,) = _packed(random_rows(4), 1000)
    policy, critic = load_policy(tmp_path), load_critic(tmp_path)
    again = load_critic(tmp_path, critic.state_dict())
    assert torch.equal(policy(micro).log_probs, policy(micro).log_probs)
    for one in (critic, again):
        enable_gradient_checkpointing(one.model)
        states = [
            one.model(input_ids=micro.input_ids, position_ids=micro.position_ids).last_hidden_state for _ in range(2)
        ]
        assert torch.equal(*states)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"no config\.json"):
        load_policy(tmp_path)


def test_an_unsupported_form_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gemma2"}')
    with pytest.raises(ModelFormError, match="gemma2"):
        load_policy(tmp_path)


@pytest.mark.parametrize("tied", [False, True])
def test_a_folder_loads_in_float32(tmp_path: Path, tied: bool) -> None:
    policy = load_policy(tiny_folder(tmp_path, tied=tied))
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}
    original = tiny_policy(tied=tied)
    (micro,) = _packed(random_rows(4), 1000)
    torch.testing.assert_close(policy(micro).log_probs, original(micro).log_probs)
