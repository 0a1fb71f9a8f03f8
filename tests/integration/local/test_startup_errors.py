"""What a real process says when it cannot start: one line with thing, value and remedy, a status of
its own, and no traceback.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vapo.local.environment import part_environment
from vapo.local.private_redis import PrivateRedis

DEADLINE_SECONDS = 120
MODEL = Path(__file__).parents[3] / "vapo" / "assets" / "chain-base"
LIGHT = ("gateway", "verifier", "relay", "generator")
"""Parts that fail before they import torch."""
HEAVY = tuple(pytest.param(part, marks=pytest.mark.slow) for part in ("value", "trainer"))
TAKES_REDIS = ("gateway", "verifier", HEAVY[0], HEAVY[1])
"""Parts that end without Redis; relay and generator serve without it, and say so."""
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def no_folder(tmp_path: Path) -> Path:
    """A path under a file: nobody, root included, can make a folder there."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "run"


def module(part: str) -> str:
    return "trainer" if part == "trainer" else f"services.{part}"


def ended(words: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m WORDS`, run until it ends by itself."""
    root = str(Path(__file__).parents[3])
    environment = {**part_environment(os.environ, on_gpu=False), "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=DEADLINE_SECONDS,
        check=False,
        env=environment,
    )


def sets(*assignments: str) -> list[str]:
    return [word for one in assignments for word in ("--set", one)]


def told(part: str, redis: PrivateRedis, folder: Path, *changes: str) -> tuple[int, str]:
    """Exit status and last line of a part that would start if it were not for ``changes``."""
    return last_line(started(part, redis, folder, *changes), module(part))


def started(part: str, redis: PrivateRedis, folder: Path, *changes: str) -> subprocess.CompletedProcess[str]:
    usual = [
        f"redis.url={redis.settings.url}",
        f"redis.password_file={redis.password_file}",
        f"run.directory={folder / 'run'}",
        f"run.name=startup-{part}",
        f"{part}.port=0",
        "redis.patience_seconds=0.2",
    ]
    usual += ["weights.transport=http"] if part == "relay" else []
    return ended([module(part), *sets(*usual, *changes)])


def last_line(done: subprocess.CompletedProcess[str], program: str) -> tuple[int, str]:
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"{program}: "), done.stderr[-3000:]
    assert done.stderr.count(f"\n{line}") + done.stderr.startswith(line) == 1, "said once"
    return done.returncode, line


@pytest.mark.parametrize("part", [*LIGHT, *HEAVY])
def test_a_password_file_that_is_not_there(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    change = f"redis.password_file={tmp_path / 'none'}"
    status, line = told(part, redis_server, tmp_path, change)
    assert status == os.EX_CONFIG
    assert f"{change} cannot be read: No such file or directory; write" in line


@pytest.mark.parametrize("part", ["gateway", "generator"])
def test_a_wrong_password(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("guess\n")
    change = f"redis.password_file={tmp_path / 'wrong'}"
    status, line = told(part, redis_server, tmp_path, change)
    assert status == os.EX_CONFIG
    assert f"refuses the password of {change}" in line


@pytest.mark.parametrize("part", TAKES_REDIS)
def test_a_redis_that_does_not_answer(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    status, line = told(part, redis_server, tmp_path, f"redis.url={NOWHERE}")
    assert status == os.EX_UNAVAILABLE
    assert f"redis.url={NOWHERE} did not answer within 0.2 s" in line
    assert "start Redis there" in line


@pytest.mark.parametrize("part", LIGHT)
def test_a_port_in_use(part: str, redis_server: PrivateRedis, tmp_path: Path, taken_port: int) -> None:
    status, line = told(part, redis_server, tmp_path, f"{part}.port={taken_port}")
    assert status == os.EX_UNAVAILABLE
    assert f"cannot bind 127.0.0.1:{taken_port}: Address already in use; choose another" in line


@pytest.mark.parametrize("part", ["generator", *HEAVY])
def test_a_model_folder_without_weights(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    change = f"model.path={tmp_path / 'model'}"
    status, line = told(part, redis_server, tmp_path, change)
    assert status == os.EX_CONFIG
    assert f"{change} has no weights" in line


def test_a_model_folder_that_is_not_there(redis_server: PrivateRedis, tmp_path: Path) -> None:
    for part in ("gateway", "generator"):
        status, line = told(part, redis_server, tmp_path, f"model.path={tmp_path / 'none'}")
        assert status == os.EX_CONFIG
        assert f"model.path={tmp_path / 'none'} is no folder here" in line


def described(folder: Path, **changes: Any) -> str:
    """The setting of a copy of the model whose configuration differs."""
    shutil.copytree(MODEL, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return f"model.path={folder}"


@pytest.mark.parametrize("part", ["gateway", "generator", *HEAVY])
def test_a_model_type_that_is_not_supported(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    change = described(tmp_path / "model", model_type="gemma2")
    status, line = told(part, redis_server, tmp_path, change)
    assert status == os.EX_CONFIG
    assert f"{change} is of model type 'gemma2'; supported are llama, mistral" in line


@pytest.mark.parametrize("part", ["gateway", "generator", *HEAVY])
def test_a_context_longer_than_the_model(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    status, line = told(part, redis_server, tmp_path, "model.max_context_tokens=100000")
    assert status == os.EX_CONFIG
    assert "model.max_context_tokens=100000 is more than the 2048 tokens that model.path=" in line


@pytest.mark.parametrize("part", ["generator", *HEAVY])
def test_a_model_that_lacks_a_layer(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    change = described(tmp_path / "model", num_hidden_layers=4)
    status, line = told(part, redis_server, tmp_path, change)
    assert status == os.EX_CONFIG
    assert f"{change} lacks 11 of the 47 tensors that its config.json describes" in line


@pytest.mark.slow
@pytest.mark.vllm
def test_a_setting_that_the_engine_refuses(redis_server: PrivateRedis, tmp_path: Path) -> None:
    status, line = told("generator", redis_server, tmp_path, "generator.tensor_parallel_size=7")
    assert status == os.EX_CONFIG
    assert "vLLM refuses model.path=" in line
    assert "attention heads (4) must be divisible by tensor parallel size (7)." in line
    assert "pydantic" not in line


@pytest.mark.parametrize("part", ["gateway", "generator"])
def test_chat_templates_of_which_none_is_chosen(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    change = described(tmp_path / "model")
    (tmp_path / "model" / "additional_chat_templates").mkdir()
    (tmp_path / "model" / "chat_template.jinja").rename(tmp_path / "model" / "additional_chat_templates" / "rag.jinja")
    status, line = told(part, redis_server, tmp_path, change)
    assert status == os.EX_CONFIG
    assert "choose one with model.chat_template_name (it has rag)" in line


@pytest.mark.slow
def test_a_weights_folder_that_cannot_be_written(redis_server: PrivateRedis, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights").touch()
    done = started("trainer", redis_server, tmp_path)
    status, line = last_line(done, "trainer")
    assert status == os.EX_CONFIG
    assert f"run.directory: {tmp_path / 'run' / 'weights'} cannot be written: " in line
    assert done.stderr.count("computing on the CPU (trainer.device=auto: torch ") == 1


def test_a_gateway_that_cannot_keep_data_sets(redis_server: PrivateRedis, tmp_path: Path, no_folder: Path) -> None:
    status, line = told("gateway", redis_server, tmp_path, f"run.directory={no_folder}")
    assert status == os.EX_CONFIG
    assert f"run.directory: {no_folder / 'datasets'} cannot be written: Not a directory" in line


@pytest.mark.parametrize("part", HEAVY)
def test_a_gpu_that_is_promised_and_not_there(part: str, redis_server: PrivateRedis, tmp_path: Path) -> None:
    status, line = told(part, redis_server, tmp_path, f"{part}.device=cuda")
    assert status == os.EX_CONFIG
    assert line.startswith(f"{module(part)}: {part}.device=cuda, but torch ")
    assert line.endswith(f", or set {part}.device=cpu")


@pytest.mark.parametrize("part", ["relay", "generator"])
def test_a_cache_of_weights_that_cannot_be_written(
    part: str, redis_server: PrivateRedis, tmp_path: Path, no_folder: Path
) -> None:
    setting = "relay.directory" if part == "relay" else "weights.cache_directory"
    status, line = told(part, redis_server, tmp_path, "weights.transport=http", f"{setting}={no_folder}")
    assert status == os.EX_CONFIG
    assert f"{setting}: {no_folder} cannot be written: Not a directory; give" in line


@pytest.mark.parametrize("part", [*LIGHT, *HEAVY])
def test_a_settings_file_that_is_not_there(part: str, tmp_path: Path) -> None:
    file = tmp_path / "none.json"
    status, line = last_line(ended([module(part), "--config", str(file)]), module(part))
    assert status == os.EX_CONFIG
    assert f"cannot read the settings file {file}: No such file" in line


@pytest.mark.parametrize("name", ["broken.toml", "broken.json"])
def test_a_settings_file_that_is_malformed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("[run\nname = 1\n")
    done = ended([module("gateway"), "--config", str(tmp_path / name)])
    status, line = last_line(done, module("gateway"))
    assert status == os.EX_CONFIG
    assert f"the settings file {tmp_path / name} is not valid: " in line


def test_a_verifier_that_is_not_installed(redis_server: PrivateRedis, tmp_path: Path) -> None:
    status, line = told("verifier", redis_server, tmp_path, "verifier.default=maths")
    assert status == os.EX_CONFIG
    assert "no verifier is named 'maths'; there are exact, math" in line


def test_a_model_without_a_chat_template_is_told(redis_server: PrivateRedis, tmp_path: Path, taken_port: int) -> None:
    change = described(tmp_path / "model")
    (tmp_path / "model" / "chat_template.jinja").unlink()
    done = ended(["vapo.cli", "up", *sets(change, f"value.port={taken_port}")], cwd=tmp_path)
    told = f"vapo up: {tmp_path / 'model'}: the model folder has no chat template: prompts go to"
    assert done.stdout.count(told) == 1
    described_again = described(tmp_path / "again")
    done = ended(["vapo.cli", "up", *sets(described_again, f"value.port={taken_port}")], cwd=tmp_path)
    assert "chat template" not in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["up", "--set", "redis.password_file={none}", "--set", f"redis.url={NOWHERE}"],
            "redis.password_file={none} cannot be read",
        ),
        (
            ["up", *sets(f"redis.url={NOWHERE}", "redis.patience_seconds=0.2")],
            f"redis.url={NOWHERE} did not answer within 0.2 s",
        ),
        (["up", "--set", "run.directory={no_folder}"], "{no_folder} cannot be written"),
        (["up", "--set", "model.path={none}"], "model.path={none} is no folder here"),
        (
            ["up", "--set", "model.max_context_tokens=4000"],
            "model.max_context_tokens=4000 is more than the 2048 tokens that model.path=",
        ),
        (["up", "--model", "{none}.gguf"], "--model={none}.gguf is no folder here"),
        (["up", "--model", "Qwen/Qwen3-0.6B"], "`hf download Qwen/Qwen3-0.6B --local-dir "),
        (["up", "--set", "value.port={taken}"], "value.port={taken} is taken"),
        (["up", "--config", "{none}"], "cannot read the settings file {none}"),
        (["demo", "--run-dir", "{no_folder}"], "{no_folder} cannot be written"),
        (["base-model", "--out", "{no_folder}", "--steps", "1"], "cannot be written"),
        (["eval", "--dataset", "a", "--url", "nonsense"], "'nonsense' is no address of a gateway"),
        (["init", "--directory", "{no_folder}"], "cannot prepare {no_folder}"),
        (["audit", "--set", "redis.password_file={none}"], "redis.password_file={none} cannot be read"),
        (["relay", "--config", "{none}"], "cannot read the settings file {none}"),
        (["export", "--run", "{none}", "--output", "{none}"], "{none} holds no run"),
        (
            ["submit", "{none}.parquet", "--dataset", "a", "--url", "http://127.0.0.1:1"],
            "{none}.parquet: cannot be read",
        ),
        (["status", "--run", "{none}"], "{none} holds no run"),
    ],
)
def test_commands(command: list[str], said: str, tmp_path: Path, no_folder: Path, taken_port: int) -> None:
    values = {"none": str(tmp_path / "none"), "no_folder": str(no_folder), "taken": str(taken_port)}
    words = [word.format(**values) for word in command]
    done = ended(["vapo.cli", *words], cwd=tmp_path)
    status, line = last_line(done, f"vapo {command[0]}")
    assert status == 1
    assert said.format(**values) in line
