"""The value service's parts without processes: calibration, scorer, follower of weights."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from services.value.calibration import Calibration
from services.value.critic_follower import CriticFollower
from services.value.replica import CriticVersion, PreparedWeights, Replica, UnfitTokens
from services.value.scorer import Scorer, ScorerClosed
from tests.support.tiny_models import save_tiny_model
from vapo.messages import token_array
from vapo.model.critic import CriticError, load_critic
from vapo.model.packing import TokenSequence
from vapo.weights import CRITIC, Announcement, Manifest, read_manifest, version_folder, write_version


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_tiny_model(folder)
    return folder


@pytest.fixture
def replica(model_folder: Path) -> Replica:
    return Replica(model_folder, token_budget=128)


@pytest.fixture
def scorer(replica: Replica) -> Iterator[Scorer]:
    scorer = Scorer(replica, token_budget=128)
    scorer.start()
    yield scorer
    scorer.stop()


def random_weights(folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """The base critic with a random value head, so that its values differ from state to state."""
    generator = torch.Generator().manual_seed(seed)
    tensors = dict(load_critic(folder).state_dict())
    weight = tensors["value_head.weight"]
    tensors["value_head.weight"] = torch.randn(weight.shape, generator=generator)
    return tensors


def sequences(count: int, seed: int = 0) -> list[TokenSequence]:
    random = np.random.default_rng(seed)
    return [
        TokenSequence(
            token_array(random.integers(3, 90, random.integers(1, 9))),
            token_array(random.integers(3, 90, random.integers(1, 40))),
        )
        for _ in range(count)
    ]


def test_values_do_not_depend_on_batch_mates_packing_or_padding(model_folder: Path, scorer: Scorer) -> None:
    scorer.swap(PreparedWeights(CriticVersion(1), random_weights(model_folder, 1))).result(10)
    rows = sequences(30)
    alone = [scorer.submit([row]).result(30).values[0] for row in rows]
    together = scorer.submit(rows).result(30).values
    backwards = scorer.submit(rows[::-1]).result(30).values[::-1]
    for row, first, second, third in zip(rows, alone, together, backwards, strict=True):
        assert first.dtype == np.float32
        assert first.shape == (row.response.size + 1,)
        np.testing.assert_allclose(second, first, atol=2e-5)
        np.testing.assert_allclose(third, first, atol=2e-5)
    assert np.ptp(np.concatenate(alone)) > 0.1


def test_the_value_of_a_state_needs_only_what_came_before(model_folder: Path, scorer: Scorer) -> None:
    scorer.swap(PreparedWeights(CriticVersion(1), random_weights(model_folder, 2))).result(10)
    row = TokenSequence(token_array([5, 6, 7]), token_array([8, 9, 10, 11]))
    cut = TokenSequence(row.prompt, row.response[:2])
    whole, part = (scorer.submit([one]).result(30).values[0] for one in (row, cut))
    np.testing.assert_allclose(part, whole[:3], atol=2e-5)


def test_every_request_has_one_version_while_weights_change(model_folder: Path, scorer: Scorer) -> None:
    by_version = {version: random_weights(model_folder, version) for version in (1, 2, 3)}
    rows = sequences(4, seed=5)
    expected = {}
    for version, tensors in by_version.items():
        scorer.swap(PreparedWeights(CriticVersion(version), tensors)).result(10)
        expected[version] = scorer.submit(rows).result(30).values

    def swap_again_and_again() -> None:
        for turn in range(30):
            version = turn % 3 + 1
            scorer.swap(PreparedWeights(CriticVersion(version), by_version[version])).result(10)

    swapping = threading.Thread(target=swap_again_and_again)
    swapping.start()
    answers = [scorer.submit(rows) for _ in range(40)]
    for answer in answers:
        scored = answer.result(60)
        for values, reference in zip(scored.values, expected[scored.critic_version], strict=True):
            np.testing.assert_allclose(values, reference, atol=2e-5)
    swapping.join()


def test_weights_that_do_not_fit_change_nothing(model_folder: Path, scorer: Scorer) -> None:
    good = random_weights(model_folder, 4)
    scorer.swap(PreparedWeights(CriticVersion(4), good)).result(10)
    rows = sequences(3)
    before = scorer.submit(rows).result(30)
    bad = {name: tensor for name, tensor in good.items() if name != "value_head.bias"}
    with pytest.raises(CriticError, match=r"value_head\.bias"):
        scorer.swap(PreparedWeights(CriticVersion(5), bad)).result(10)
    after = scorer.submit(rows).result(30)
    assert after.critic_version == before.critic_version == 4
    np.testing.assert_array_equal(np.concatenate(after.values), np.concatenate(before.values))


@pytest.mark.parametrize(
    ("prompt", "response", "why"),
    [
        ([], [1], "at least one"),
        ([1], [], "at least one"),
        ([1], [98 + 5], "vocabulary"),
        ([1], [1] * 1024, "context"),
        ([-1], [1], "vocabulary"),
    ],
)
def test_tokens_the_model_cannot_read_are_refused_and_harm_nothing(
    scorer: Scorer, prompt: list[int], response: list[int], why: str
) -> None:
    bad = TokenSequence(token_array(prompt), token_array(response))
    with pytest.raises(UnfitTokens, match=why):
        scorer.submit([bad])
    assert len(scorer.submit(sequences(2)).result(30).values) == 2


def test_a_caller_that_has_gone_harms_nobody(scorer: Scorer) -> None:
    answers = [scorer.submit(sequences(2, seed)) for seed in range(20)]
    cancelled = [answer for answer in answers[1::2] if answer.cancel()]
    for answer in answers:
        if answer not in cancelled:
            assert len(answer.result(30).values) == 2


def test_after_the_end_nothing_waits_for_ever(replica: Replica) -> None:
    scorer = Scorer(replica, 128)
    waiting = scorer.submit(sequences(1))
    scorer.start()
    scorer.stop()
    assert waiting.exception(10) is None or isinstance(waiting.exception(10), ScorerClosed)
    with pytest.raises(ScorerClosed):
        scorer.submit(sequences(1))


class VanishingFiles:
    """A transport whose first version is removed between fetch and load."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.fetches = folder, 0

    def fetch(self, version: int, only: str | None = None) -> tuple[Path, Manifest]:
        self.fetches += 1
        manifest = read_manifest(version_folder(self.folder, version))
        return (self.folder / "gone" if self.fetches == 1 else version_folder(self.folder, version)), manifest

    def close(self) -> None:
        """Nothing is held."""


class OneAnnouncement:
    """Version 1 is the newest, for ever."""

    def wait_newer(self, than: int, block_seconds: float) -> Announcement | None:
        time.sleep(0.01)
        return Announcement(version=1, step=1) if than < 1 else None


def test_files_removed_while_they_are_read_do_not_end_the_following(
    model_folder: Path, scorer: Scorer, tmp_path: Path
) -> None:
    tensors = random_weights(model_folder, 1)
    write_version(tmp_path, 1, 1, {CRITIC: lambda path: save_file(tensors, path)})
    transport = VanishingFiles(tmp_path)
    follower = CriticFollower(OneAnnouncement(), transport, scorer)  # type: ignore[arg-type]
    follower.start()
    try:
        deadline = time.monotonic() + 20
        while follower.swapped_at is None:
            assert time.monotonic() < deadline, follower.failure
            time.sleep(0.02)
    finally:
        follower.stop()
    assert transport.fetches == 2
    assert (follower.state, follower.failure) == ("READY", None)


def test_calibration_is_that_of_all_states_in_the_window() -> None:
    random = np.random.default_rng(0)
    calibration = Calibration()
    assert calibration.read() == {}
    returns, predictions = [], []
    for _ in range(50):
        reward = float(random.choice([-1.0, 1.0]))
        values = (0.5 * reward + 0.3 * random.standard_normal(7)).astype(np.float32)
        calibration.add(values, reward)
        returns += [reward] * 7
        predictions += values.tolist()
    errors = np.array(returns) - np.array(predictions)
    found = calibration.read()
    assert found["bias"] == pytest.approx(-errors.mean())
    assert found["explained_variance"] == pytest.approx(1 - errors.var() / np.var(returns))


def test_calibration_has_no_explained_variance_while_all_returns_are_equal() -> None:
    calibration = Calibration()
    calibration.add(np.zeros(3, np.float32), 1.0)
    assert calibration.read() == {"bias": -1.0}
