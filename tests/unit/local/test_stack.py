"""What a stack decides before it starts anything: ports, tokens, command lines, environment."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from vapo.local import environment
from vapo.local.environment import part_environment
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.stack import PARTS, Shape, StackError, launcher, names_redis, parts_to_start, resolve
from vapo.settings import load_settings

FREE_PORTS = [f"{part}.port=0" for part in PARTS]


def test_ports_and_tokens_are_filled_in_and_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first = resolve(load_settings(assignments=FREE_PORTS, environment={}), folder)
    assert len({getattr(first, part).port for part in PARTS} - {0}) == len(PARTS)
    tokens = [getattr(first.security, name).get_secret_value() for name in first.security.model_fields_set]
    assert len(set(tokens)) == 3
    folder.write_settings(first)
    again = resolve(load_settings(assignments=FREE_PORTS, environment={}), folder)
    assert again.security == first.security


def test_a_port_the_user_named_must_be_free_and_a_default_need_not(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        named = load_settings(assignments=[f"value.port={port}"], environment={})
        with pytest.raises(StackError, match=f"value.port={port} is taken"):
            resolve(named, RunFolder(tmp_path))
        value = load_settings(environment={}).value.model_copy()
        object.__setattr__(value, "port", port)
        default = load_settings(environment={}).model_copy(update={"value": value})
        assert resolve(default, RunFolder(tmp_path)).value.port not in (0, port)


def test_no_secret_is_on_a_command_line_or_in_the_environment(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    settings = resolve(load_settings(assignments=FREE_PORTS, environment={}), folder)
    specs, awaited = parts_to_start(settings, folder, Shape(generators=2), without=frozenset())
    names = {*PARTS, "generator-2"}
    assert {spec.name for spec in specs} == names == set(awaited)
    public = " ".join(word for spec in specs for word in (*spec.command, *spec.environment.values()))
    token = settings.security.admin_token
    assert token is not None
    assert token.get_secret_value() not in public


def test_parts_can_be_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    settings = resolve(load_settings(assignments=FREE_PORTS, environment={}), folder)
    specs, _ = parts_to_start(settings, folder, Shape(), without={"trainer", "value"})
    assert {spec.name for spec in specs} == {"gateway", "verifier", "generator"}


@pytest.mark.parametrize("count", ["generators", "verifiers", "values", "trainer_ranks"])
def test_none_of_a_part_is_none(tmp_path: Path, count: str) -> None:
    folder = RunFolder(tmp_path)
    settings = resolve(load_settings(assignments=FREE_PORTS, environment={}), folder)
    specs, awaited = parts_to_start(settings, folder, Shape(**{count: 0}), without=frozenset())
    left_out = {"trainer_ranks": "trainer"}.get(count, count[:-1])
    assert {spec.name for spec in specs} == set(PARTS) - {left_out} == set(awaited)


def test_no_entry_of_the_search_path_is_the_current_folder() -> None:
    for inherited in ("", ":", "/a:", ":/a", "/a::.", "lib:/a"):
        cleaned = part_environment({"PYTHONPATH": inherited}, on_gpu=False)
        assert cleaned.get("PYTHONPATH") == ("/a" if "/a" in inherited else None)
        assert cleaned["PYTHONSAFEPATH"] == "1"


def test_several_ranks_run_under_torchrun() -> None:
    assert launcher("trainer", Shape()) == [sys.executable, "-P", "-m", "trainer"]
    assert "trainer.ranks.torchrun" in launcher("trainer", Shape(trainer_ranks=2))
    assert "trainer.ranks.torchrun" not in launcher("value", Shape(trainer_ranks=2))


def test_a_redis_of_the_users_own_is_used() -> None:
    assert not names_redis(load_settings(environment={}))
    named = load_settings(assignments=["redis.url=redis://127.0.0.1:7000/0"], environment={})
    assert names_redis(named)


def test_cores_are_shared_on_a_cpu_and_the_users_choice_stays() -> None:
    on_cpu = part_environment({"OMP_NUM_THREADS": "4"}, on_gpu=False)
    assert on_cpu["OMP_NUM_THREADS"] == "4"
    assert on_cpu["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert on_cpu["CUDA_VISIBLE_DEVICES"] == ""
    on_gpu = part_environment({}, on_gpu=True)
    assert not {"OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"} & on_gpu.keys()
    assert on_gpu["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("driver", "engine", "expected"),
    [(True, None, True), (True, "0.32.0", False), (False, None, False), (False, "0.32.0", False)],
)
def test_parts_compute_where_the_engine_does(
    monkeypatch: pytest.MonkeyPatch, driver: bool, engine: str | None, expected: bool
) -> None:
    monkeypatch.setattr(environment, "has_nvidia_driver", lambda: driver)
    monkeypatch.setattr(environment, "installed_version", lambda package: engine)
    assert environment.computes_on_gpu() is expected
