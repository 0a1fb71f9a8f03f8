"""What docker-compose.yml and the images promise, as far as it can be read off the files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from vapo.local.environment import CPU_DEFAULTS, OFFLINE_DEFAULTS
from vapo.settings import ENVIRONMENT_PREFIX, Settings, load_settings
from vapo.settings.presets import DEMO

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
PARTS = ("gateway", "verifier", "generator", "value", "trainer")
SCALED = ("generator", "verifier", "value")


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


COMPOSITIONS = [
    [],
    ["deploy/compose.gpu.yml"],
    ["deploy/compose.http.yml"],
    ["deploy/compose.http.yml", "deploy/compose.publish.yml"],
    ["deploy/compose.gpu.yml", "deploy/compose.http.yml"],
]


def merged(extra: list[str]) -> dict[str, dict[str, Any]]:
    """Services of docker-compose.yml under these files: keys of a later file replace earlier ones
    (all that the tests here look at)."""
    services: dict[str, dict[str, Any]] = {}
    for file in ["docker-compose.yml", *extra]:
        for name, service in compose(file)["services"].items():
            services[name] = services.get(name, {}) | service
    return services


def environment_of(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text("utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_an_image_that_is_not_root_and_says_whether_it_is_ready(part: str) -> None:
    stage = DOCKERFILE.split(f" AS {part}\n")[1].partition("\nFROM ")[0]
    assert "\nUSER vapo\n" in stage
    port = getattr(Settings(), part).port
    assert f'CMD ["python", "-m", "vapo.service.healthcheck", "{port}"]' in stage


def test_images_set_the_environment_that_vapo_up_gives_its_parts() -> None:
    for name, value in {**CPU_DEFAULTS, **OFFLINE_DEFAULTS}.items():
        assert re.search(rf"\b{name}={value}\b", DOCKERFILE), name


def test_only_loopback_ports_are_published_and_scaled_parts_have_none() -> None:
    services = compose()["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not any("ports" in services[part] or "container_name" in services[part] for part in SCALED)


@pytest.mark.parametrize("extra", COMPOSITIONS)
def test_an_entry_point_of_ours_comes_with_a_command(extra: list[str]) -> None:
    ours = {name: service for name, service in merged(extra).items() if "VAPO_IMAGE_PREFIX" in service.get("image", "")}
    assert {*PARTS, "init", "prompts"} <= set(ours)
    for name, service in ours.items():
        if "entrypoint" in service:  # the engine then leaves out the image's command
            assert "command" in service, name
        if name in PARTS and "command" in service:
            assert service["command"] == ["--config", "/run/vapo/settings.json"], name


def test_what_runs_once_is_not_started_again_for_ever() -> None:
    for service in (merged(extra)["prompts"] for extra in COMPOSITIONS):
        assert re.fullmatch(r"on-failure:\d+", service["restart"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, []),
        (
            {
                "PROMPT_FIELD": "Body+Question",
                "ANSWER_FIELD": "reward_model.ground_truth",
                "ANSWER_PATTERN": "#### (.*)",
                "PROMPT_APPEND": r"\nPut it in \boxed{}.",
                "SKIP_TOO_LONG": "1",
            },
            [
                "--prompt-field",
                "Body+Question",
                "--answer-field",
                "reward_model.ground_truth",
                "--answer-pattern",
                "#### (.*)",
                "--append",
                r"\nPut it in \boxed{}.",
                "--skip-too-long",
            ],
        ),
    ],
)
def test_on_gpu_hosts_the_data_options_reach_the_command_as_they_are(
    tmp_path: Path, values: dict[str, str], words: list[str]
) -> None:
    prompts = compose("deploy/compose.gpu.yml")["services"]["prompts"]
    assert set(values) < set(prompts["environment"])
    told = tmp_path / "python"
    told.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    told.chmod(0o755)
    [*shell, script] = prompts["entrypoint"]
    ended = subprocess.run(
        [*shell, script.replace("$$", "$")],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "TRAIN_FILE": "a b.jsonl", **values},
    )
    start = ["-m", "vapo.cli", "submit", "/data/a b.jsonl", "--dataset", "train", "--url", "http://gateway:8000"]
    sent = json.loads(ended.stdout)
    assert sent[sent.index("-m") :] == [*start, *words]


def test_a_trainer_that_is_done_stays_down_and_others_come_back() -> None:
    services = compose()["services"]
    assert services["trainer"]["restart"] == "on-failure"
    assert {services[name]["restart"] for name in ("gateway", "redis", *SCALED)} == {"unless-stopped"}
    assert services["init"]["restart"] == "no"


def test_replicas_cannot_write_published_weights() -> None:
    for part in ("generator", "value"):
        mounts = compose()["services"][part]["volumes"]
        assert "weights:/var/lib/vapo/weights:ro" in mounts


def test_over_http_replicas_share_no_volume_with_the_trainer() -> None:
    base, extra = compose()["services"], compose("deploy/compose.http.yml")["services"]
    assert extra["init"]["environment"]["VAPO__WEIGHTS__TRANSPORT"] == "http"
    for part in ("generator", "value"):
        assert {"type": "tmpfs", "target": "/var/lib/vapo/weights"} in extra[part]["volumes"]
    trainers = {mount.partition(":")[0] for mount in base["trainer"]["volumes"]}
    relays = {mount.partition(":")[0] for mount in extra["relay"]["volumes"]}
    assert trainers & relays == {"secrets"}


def test_the_relay_is_where_the_replicas_look_for_it() -> None:
    services = compose("deploy/compose.http.yml")["services"]
    settings = load_settings(environment=services["init"]["environment"])
    port = settings.relay.port
    assert settings.weights.relay_url == f"http://relay:{port}"
    assert services["relay"]["healthcheck"]["test"][-1] == str(port)
    assert "ports" not in services["relay"]


def test_other_hosts_reach_only_what_they_need_on_an_address_that_was_named() -> None:
    services = compose("deploy/compose.publish.yml")["services"]
    assert set(services) == {"redis", "trainer"}
    for service in services.values():
        [port] = service["ports"]
        assert port.startswith("${PUBLISH_ADDRESS")
    assert services["trainer"]["ports"][0].endswith(f":{Settings().trainer.port}")


def test_all_that_another_host_runs_can_be_told_where_redis_is() -> None:
    services = compose("deploy/compose.http.yml")["services"]
    for part in ("relay", *SCALED):
        assert services[part]["environment"]["VAPO__REDIS__URL"] is None  # the shell's, if any


@pytest.mark.parametrize(
    ("file", "base"),
    [
        ("deploy/demo.env", DEMO),
        ("tests/compose/test.env", DEMO),
        ("tests/compose/hosts.env", DEMO | {"weights": {"transport": "http"}}),
        ("deploy/gpu.env.example", {}),
    ],
)
def test_environment_files_hold_settings_that_exist(file: str, base: dict[str, Any]) -> None:
    variables = environment_of(file)
    settings = load_settings(environment=variables, base=base)
    assert settings.run.name == variables[f"{ENVIRONMENT_PREFIX}RUN__NAME"]


def test_where_a_gpu_is_promised_no_part_falls_back_to_the_cpu() -> None:
    services = compose("deploy/compose.gpu.yml")["services"]
    promised = {
        part for part, service in services.items() if "reservations" in service.get("deploy", {}).get("resources", {})
    }
    assert promised == {"generator", "generator-2", "value", "trainer"}
    stage = DOCKERFILE.split(" AS runtime-cuda\n")[1].partition("\nFROM ")[0]
    image = dict(re.findall(r"(VAPO__\w+)=(\w+)", stage))
    for environment in (services["init"]["environment"], image):
        variables = {name: value for name, value in environment.items() if "DEVICE" in name}
        settings = load_settings(environment=variables)
        assert (settings.trainer.device, settings.value.device) == ("cuda", "cuda")


def test_every_variable_of_the_gpu_file_is_in_its_example() -> None:
    text = (ROOT / "deploy" / "compose.gpu.yml").read_text("utf-8")
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) - {"VAPO_IMAGE_PREFIX"}
    assert used <= set(environment_of("deploy/gpu.env.example"))


def test_the_gpu_file_adds_to_services_that_exist_and_every_image_has_a_pinned_version() -> None:
    extra = set(compose("deploy/compose.gpu.yml")["services"]) - set(compose()["services"])
    assert extra == {"generator-2"}
    defaults = [
        re.search(r":-([^}]+)\}$", service["image"])
        for service in compose()["services"].values()
        if "build" not in service
    ]
    assert all(found and re.search(r":v?\d+\.\d+\.\d+", found[1]) for found in defaults)
