"""The GPU composition, as deploy/gpu.env.example starts it, on a machine without a GPU.

Devices and `cuda` are reset by tests/compose/without_gpu.yml; all else is what a GPU host runs: a
model folder and a file of problems from the host, a trainer of two ranks under torchrun, and the
second generator. Steps must be trained and weights must reach both generators.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from tests.compose.checks import START_SECONDS, all_healthy, keep_logs, one_shots_done, read_token, training_and_push
from tests.compose.composed import ROOT, CheckFailed, Platform, require, wait_for
from tests.compose.load import Clock, problem

PROJECT = "vapo-compose-test-gpu"
FILES = ("docker-compose.yml", "deploy/compose.gpu.yml", "tests/compose/without_gpu.yml")
EXAMPLE = ROOT / "deploy" / "gpu.env.example"
MODEL = ROOT / "vapo" / "assets" / "chain-base"
FOLDER = ROOT / "build" / "compose-test-gpu"
TRAINER_RANKS = 2
PROBLEMS = 200
PROFILE = ("--profile", "two-generators")
SMALL = {
    "VAPO__MODEL__MAX_CONTEXT_TOKENS": 160,
    "VAPO__SAMPLING__SAMPLES_PER_PROMPT": 4,
    "VAPO__SAMPLING__MAX_NEW_TOKENS": 96,
    "VAPO__GENERATOR__MAX_CONCURRENT_SEQUENCES": 32,
    "VAPO__GENERATOR__ENFORCE_EAGER": "true",
    "VAPO__VALUE__TOKEN_BUDGET": 4096,
    "VAPO__VALUE_PRETRAINING__MAX_STEPS": 1,
    "VAPO__TRAINER__PROMPTS_PER_STEP": 8,
    "VAPO__TRAINER__MINI_BATCH_ROLLOUTS": 32,
    "VAPO__TRAINER__TOKEN_BUDGET": 4096,
}
"""Settings of the example that two cores need smaller, and one that it leaves to its default."""


def check(clock: Clock, built: Platform) -> None:
    """Start it with the images and the port of ``built``, see it train, remove it.

    Raises:
        CheckFailed: something did not hold; the containers' logs are kept.
    """
    environment = {**built.environment, **prepared(FOLDER)}
    platform = Platform(PROJECT, built.port, environment, files=FILES, options=("--env-file", str(FOLDER / "gpu.env")))
    try:
        remove(platform)
        exercise(platform, clock)
    except CheckFailed:
        keep_logs(platform, clock, "compose-test-gpu/logs")
        raise
    finally:
        remove(platform)


def prepared(folder: Path) -> dict[str, str]:
    """Model, problems and environment file in ``folder``; returns what the shell must not hide."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODEL, folder / "model")
    (folder / "data").mkdir()
    (folder / "data" / "train.jsonl").write_text(problems(), encoding="utf-8")
    readable_by_containers(folder)
    chosen = {
        "VAPO_VARIANT": "cpu",
        "VAPO_ENV": str(folder / "gpu.env"),
        "MODEL_DIR": str(folder / "model"),
        "DATA_DIR": str(folder / "data"),
        "PROMPT_FIELD": "question",
        "ANSWER_FIELD": "solution",
        "ANSWER_PATTERN": "#### (.*)",
        "TRAINER_GPUS": str(TRAINER_RANKS),
    }
    values = chosen | {name: str(value) for name, value in SMALL.items()}
    (folder / "gpu.env").write_text(example_with(values), encoding="utf-8")
    return {"VAPO_ENV": chosen["VAPO_ENV"], "VAPO_VARIANT": "cpu"}


def problems() -> str:
    """JSON lines as GSM8K has them: the answer stands behind ``####`` in a worked solution."""
    rows = (problem(number) for number in range(PROBLEMS))
    lines = [
        {"question": row["prompt"], "solution": f"{row['prompt'][:-2]}={row['answer']}\n#### {row['answer']}"}
        for row in rows
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def readable_by_containers(folder: Path) -> None:
    """Let the images' own user read what is mounted, whatever this user's umask."""
    for place in (folder, *folder.rglob("*")):
        os.chmod(place, 0o755 if place.is_dir() else 0o644)


def example_with(values: dict[str, str]) -> str:
    """The lines of gpu.env.example with these values; what it does not name stands at the end."""
    left = dict(values)
    lines = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        name = line.partition("=")[0]
        lines.append(f"{name}={left.pop(name)}" if name in left else line)
    return "\n".join([*lines, *(f"{name}={value}" for name, value in left.items())]) + "\n"


def exercise(platform: Platform, clock: Clock) -> None:
    """Up, two steps, weights in both generators, the ranks asked for."""
    platform.compose(*PROFILE, "up", "--detach", "--no-build")
    wait_for(
        "every part of the GPU composition healthy",
        START_SECONDS,
        lambda: all_healthy(platform) and platform.is_healthy("generator-2"),
    )
    wait_for("init and prompts done", 120, lambda: one_shots_done(platform))
    platform.token = read_token(platform)
    [kept] = platform.get("/v1/datasets")["datasets"]
    require(kept["rows"] == PROBLEMS, f"not every problem of the file was taken: {kept}")
    clock.say("GPU composition, on the CPU: every part healthy, the file's problems are a data set")
    training_and_push(platform, clock, generators=2)
    ranks = trainer_ranks(platform)
    require(ranks == TRAINER_RANKS, f"the trainer runs {ranks} ranks, not {TRAINER_RANKS}")
    restarts = {
        part: platform.state(platform.containers(part)[0])["restarts"]
        for part in ("trainer", "generator", "generator-2", "value")
    }
    require(not any(restarts.values()), f"parts were started again: {restarts}")
    clock.say(f"GPU composition: {ranks} trainer ranks under torchrun, nothing was restarted")


def trainer_ranks(platform: Platform) -> int:
    """Processes of the trainer's container that are ranks."""
    told = platform.docker("top", platform.containers("trainer")[0], "-eo", "pid,args")
    return sum("-m trainer" in line and "distributed.run" not in line for line in told.splitlines())


def remove(platform: Platform) -> None:
    """Its containers and volumes."""
    platform.compose(*PROFILE, "down", "--volumes", "--remove-orphans")
