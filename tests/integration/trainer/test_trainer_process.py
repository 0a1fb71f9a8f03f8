"""The trainer as a real process on a real Redis: killed, resumed, stopped, refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from redis import Redis
from safetensors.torch import load_file

from tests.support.parts import Part, Parts
from tests.support.synthetic_rollouts import SyntheticRollouts
from tests.support.tiny_models import save_tiny_model
from tests.support.torchrun import run_on_nodes
from trainer.checkpoint import newest_checkpoint, read_manifest
from vapo.ledger import Ledger
from vapo.ledger.fleet import Member
from vapo.local.private_redis import PrivateRedis
from vapo.model.critic import load_critic
from vapo.settings import Settings, dump_settings
from vapo.startup import UnavailableError
from vapo.weights import WeightChannel

pytestmark = pytest.mark.slow

PER_STEP = 4
DEADLINE_SECONDS = 240.0


def _settings(tmp_path: Path, redis_server: PrivateRedis, name: str, **changes: Any) -> Settings:
    model = tmp_path / "model"
    if not model.exists():
        save_tiny_model(model, seed=1)
    tree: dict[str, Any] = {
        "run": {"name": f"{tmp_path.name}-{name}"[-60:].lstrip("_.-"), "directory": tmp_path / name, "seed": 5},
        "redis": redis_server.settings.model_dump(),
        "model": {"path": model, "max_context_tokens": 64},
        "sampling": {"samples_per_prompt": 2, "max_new_tokens": 32},
        "ledger": {"max_staleness": 50, "heartbeat_seconds": 10.0},
        "algorithm": {"alpha": 0.5, "overlong_buffer_tokens": 8},
        "value_pretraining": {"enabled": False},
        "trainer": {
            "prompts_per_step": PER_STEP // 2,
            "mini_batch_rollouts": 2,
            "token_budget": 64,
            "actor_learning_rate": 1e-3,
            "critic_learning_rate": 1e-3,
            "warmup_steps": 3,
            "max_steps": 100,
            "checkpoint_every_steps": 2,
            "batch_deadline_seconds": 300,
        },
    }
    for section, values in changes.items():
        tree[section] |= values
    return Settings.model_validate(tree)


class Run:
    """One run's ledger, rollouts and trainer processes."""

    def __init__(self, settings: Settings, folder: Path, log_prob_error: float = 0.0) -> None:
        self.settings = settings
        self.ledger = Ledger.open(settings)
        model = save_tiny_model(settings.model.path, seed=1)
        self.rollouts = SyntheticRollouts(self.ledger, model, log_prob_error)
        self.parts = Parts(settings, folder)

    def wait(self, condition: Callable[[], Any], what: str, trainer: Part) -> Any:
        """The condition's first true value."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            if value := condition():
                return value
            if trainer.process.exit_status() is not None and not condition():
                break
            time.sleep(0.05)
        raise AssertionError(f"{what} did not happen:\n{trainer.process.log_tail(40)}")

    def wait_exit(self, trainer: Part) -> int:
        """Exit status of a trainer that is to end."""
        return self.wait(
            lambda: (trainer.process.exit_status(),) if trainer.process.exit_status() is not None else None,
            "the trainer's end",
            trainer,
        )[0]

    def steps_done(self) -> int:
        """Steps with a metrics row."""
        return len(self.ledger.journal.metrics())

    def states(self) -> list[str]:
        """State of every rollout, in order of its id."""
        redis: Redis = self.ledger.redis
        keys = sorted(redis.scan_iter(match=f"{self.ledger.keys.prefix}rollout:*"))
        return [redis.hget(key, "state").decode() for key in keys]

    def last_weights(self) -> dict[str, torch.Tensor]:
        """Actor and critic of the newest checkpoint."""
        folder = newest_checkpoint(self.settings.run.checkpoints_directory)
        assert folder is not None
        return {
            f"{name}.{key}": tensor
            for name in ("actor", "critic", "actor_optimiser")
            for key, tensor in load_file(folder / f"{name}.safetensors").items()
        }

    def close(self) -> None:
        """Stop processes, delete keys."""
        self.parts.stop()
        keys = list(self.ledger.redis.scan_iter(match=f"{self.ledger.keys.prefix}*"))
        if keys:
            self.ledger.redis.delete(*keys)
        self.ledger.redis.close()


@pytest.fixture
def make_run(tmp_path: Path, redis_server: PrivateRedis) -> Iterator[Callable[..., Run]]:
    """Makes runs that share the model folder, each with keys and directory of its own."""
    made = []

    def make(name: str, log_prob_error: float = 0.0, **changes: Any) -> Run:
        settings = _settings(tmp_path, redis_server, name, **changes)
        made.append(Run(settings, tmp_path / f"parts-{name}", log_prob_error))
        return made[-1]

    yield make
    for run in made:
        run.close()


def test_a_killed_trainer_trains_again_exactly_what_its_checkpoint_lacks(make_run: Callable[..., Run]) -> None:
    run = make_run("killed")
    rollouts = run.rollouts.submit(5 * PER_STEP // 2)
    trainer = run.parts.start("trainer")
    run.wait(lambda: run.steps_done() == 5, "step 5", trainer)
    run.wait(lambda: "trained" in run.states(), "marking", trainer)
    trainer.process.kill()
    assert sorted(run.states()) == ["acknowledged"] * 16 + ["trained"] * 4
    lost = [rollout for rollout, state in zip(sorted(rollouts), run.states(), strict=True) if state == "trained"]
    channel = WeightChannel(run.ledger.redis, run.ledger.keys)
    version_before = channel.newest().version

    again = run.parts.launch("trainer", "trainer.max_steps=5")
    assert run.wait_exit(again) == 0
    assert run.states() == ["acknowledged"] * 20
    steps = {rollout: run.ledger.rollout(rollout).training["step"] for rollout in rollouts}
    assert sorted(rollout for rollout, step in steps.items() if step == 5) == lost
    assert run.ledger.counters()["trained"] == 20
    assert [row["step"] for row in run.ledger.journal.metrics()] == [1, 2, 3, 4, 5]
    lines = (run.settings.run.directory / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert channel.newest().version == version_before + 2, "resumed weights, then step 5"

    whole = make_run("whole", trainer={"max_steps": 5})
    whole.rollouts.submit(5 * PER_STEP // 2)
    assert whole.wait_exit(whole.parts.launch("trainer")) == 0
    expected, resumed = whole.last_weights(), run.last_weights()
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in expected.items())


def test_sigterm_finishes_the_step_checkpoints_and_says_it_was_interrupted(make_run: Callable[..., Run]) -> None:
    run = make_run("stopped", trainer={"checkpoint_every_steps": 50})
    run.rollouts.submit(3 * PER_STEP // 2)
    trainer = run.parts.start("trainer")
    run.wait(lambda: run.steps_done() == 3, "step 3", trainer)
    trainer.process.request_stop()
    assert run.wait_exit(trainer) == 128 + signal.SIGTERM
    folder = newest_checkpoint(run.settings.run.checkpoints_directory)
    manifest = read_manifest(folder)
    assert manifest.position.step == 3
    assert manifest.settings["run"]["seed"] == 5
    assert run.states() == ["acknowledged"] * 12
    assert run.ledger.fleet.members("trainer") == []


def test_pretraining_ends_is_published_and_spares_a_later_run(make_run: Callable[..., Run]) -> None:
    run = make_run(
        "first",
        value_pretraining={"enabled": True, "max_steps": 2, "explained_variance": 0.999, "epochs": 2},
        trainer={"max_steps": 1},
    )
    run.rollouts.submit(3 * PER_STEP // 2)
    assert run.wait_exit(run.parts.launch("trainer")) == 0
    rows = [json.loads(line) for line in (run.settings.run.directory / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("pretraining_step") for row in rows] == [1, 2, None]
    assert rows[2]["rescored_fraction"] == 1.0, "values of the untrained critic are not used"
    position = read_manifest(newest_checkpoint(run.settings.run.checkpoints_directory)).position
    assert (position.pretrained, position.pretraining_steps, position.version) == (True, 2, 2)
    pretrained = run.settings.run.directory / "pretrained_critic"
    assert load_critic(pretrained).value_head.weight.abs().sum() > 0
    first = load_file(run.settings.run.weights_directory / "00000001" / "actor.safetensors")
    base = load_file(run.settings.model.path / "model.safetensors")
    assert all(torch.equal(tensor, base[name]) for name, tensor in first.items())

    later = make_run("later", value_pretraining={"enabled": True, "checkpoint": pretrained}, trainer={"max_steps": 1})
    later.rollouts.submit(PER_STEP // 2)
    assert later.wait_exit(later.parts.launch("trainer")) == 0
    assert later.steps_done() == 1
    critic = load_file(later.settings.run.weights_directory / "00000001" / "critic.safetensors")
    expected = load_critic(pretrained).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in critic.items())


def test_value_pretraining_is_checkpointed_too_and_goes_on_where_it_was(make_run: Callable[..., Run]) -> None:
    run = make_run(
        "pretraining",
        value_pretraining={"enabled": True, "max_steps": 5, "explained_variance": 0.999},
        trainer={"max_steps": 1},
    )
    run.rollouts.submit(3 * PER_STEP // 2)
    trainer = run.parts.start("trainer")
    run.wait(
        lambda: run.states() == ["acknowledged"] * 8 + ["trained"] * 4, "the checkpoint of the second step", trainer
    )
    trainer.process.kill()
    run.rollouts.submit(3 * PER_STEP // 2, first=6)
    again = run.parts.launch("trainer")
    assert run.wait_exit(again) == 0
    lines = (run.settings.run.directory / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line).get("pretraining_step") for line in lines] == [1, 2, 3, 4, 5, None]
    assert run.states() == ["acknowledged"] * 24


def test_between_publications_the_mismatch_is_of_the_weights_that_sampled(make_run: Callable[..., Run]) -> None:
    run = make_run("seldom", trainer={"max_steps": 3, "publish_every_steps": 9, "actor_learning_rate": 1e-2})
    run.rollouts.submit(3 * PER_STEP // 2)
    assert run.wait_exit(run.parts.launch("trainer")) == 0
    rows = run.ledger.journal.metrics()
    assert [row["version"] for row in rows] == [0, 0, 1], "the last step's weights are published"
    assert rows[2]["behaviour_gap"] > 1e-3, "the actor has moved"
    for row in rows:
        assert row["mismatch_tokens"] > 0
        assert row["mismatch_magnitude"] < 1e-5


def test_a_generator_that_disagrees_is_refused_at_the_start(make_run: Callable[..., Run]) -> None:
    run = make_run("mismatch", log_prob_error=-0.2)
    run.rollouts.submit(PER_STEP // 2)
    trainer = run.parts.launch("trainer")
    assert run.wait_exit(trainer) == 1
    assert "differ by 0.2" in trainer.process.log_tail(20)
    assert "mismatch_limit" in trainer.process.log_tail(20)
    assert run.states() == ["scored"] * PER_STEP, "nothing was trained on"


def test_rest_shows_the_state_pauses_and_checkpoints(make_run: Callable[..., Run]) -> None:
    run = make_run("rest", trainer={"checkpoint_every_steps": 50})
    trainer = run.parts.start("trainer")
    with httpx.Client(base_url=trainer.url, timeout=10) as client:
        assert client.post("/v1/pause").status_code == 202
        run.rollouts.submit(PER_STEP // 2)
        run.wait(lambda: client.get("/v1/status").json()["phase"] == "paused", "pause", trainer)
        time.sleep(0.5)
        assert run.steps_done() == 0
        run.ledger.fleet.beat(Member("g", "generator", "", "READY", 0, {"canary_difference": 3e-6}))
        client.post("/v1/resume")
        run.wait(lambda: run.steps_done() == 1, "step 1", trainer)
        client.post("/v1/checkpoint")
        run.wait(lambda: client.get("/v1/status").json().get("checkpoint_step") == 1, "checkpoint", trainer)
        assert run.states() == ["acknowledged"] * PER_STEP
        assert client.get("/readyz").status_code == 200
        metrics = client.get("/metrics").text
        assert "vapo_trainer_step 1.0" in metrics
        assert "vapo_trainer_accuracy" in metrics
        [member] = run.ledger.fleet.members("trainer")
        assert member.url == trainer.url
        [row] = run.ledger.journal.metrics()
        assert 0 < row["mismatch_tokens"] <= row["tokens"]
        assert row["mismatch_magnitude"] < 1e-5
        assert row["mismatch_canary"] == pytest.approx(3e-6)
    second = run.parts.launch("trainer")
    assert run.wait_exit(second) == UnavailableError.status
    assert "another trainer runs in" in second.process.log_tail(20)
    run.ledger.control.stop()
    assert run.wait_exit(trainer) == 0


def test_two_hosts_that_share_no_disk_train_a_run_as_one_process_does(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    runs = [
        make_run(
            name,
            trainer={"max_steps": 3},
            value_pretraining={"enabled": True, "max_steps": 1, "explained_variance": 0.999},
        )
        for name in ("one", "two")
    ]
    for run in runs:
        run.rollouts.submit(4 * PER_STEP // 2)
    assert runs[0].wait_exit(runs[0].parts.launch("trainer")) == 0
    config = tmp_path / "two.json"
    config.write_text(json.dumps(dump_settings(runs[1].settings)))
    elsewhere = tmp_path / "second-host"
    for steps in (1, 3):
        run_on_nodes(
            2,
            1,
            [
                "-m",
                "trainer",
                "--config",
                str(config),
                "--set",
                "trainer.port=0",
                "--set",
                f"trainer.max_steps={steps}",
            ],
            [{}, {"VAPO__RUN__DIRECTORY": str(elsewhere)}],
        )
    assert not elsewhere.exists(), "rank 0 alone writes, and alone reads what it wrote"
    assert runs[1].states() == ["acknowledged"] * 16
    one, two = (run.last_weights() for run in runs)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    first, second = (run.ledger.journal.metrics() for run in runs)
    for mine, theirs in zip(first, second, strict=True):
        for name in ("policy_loss", "value_loss", "entropy", "response_length", "accuracy"):
            assert theirs[name] == pytest.approx(mine[name], rel=1e-3, abs=1e-5), name
