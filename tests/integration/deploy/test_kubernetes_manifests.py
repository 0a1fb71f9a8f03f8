"""The objects of deploy/k8s: valid, complete and in agreement with the code, for every overlay."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from torch.distributed.run import get_args_parser

from services.gateway.gauges import generation_work
from tests.support.kubernetes import rendering
from tests.support.kubernetes.network import Pod, may_connect
from tests.support.kubernetes.objects import (
    config_files,
    container,
    environment,
    expanded,
    of_kind,
    pod_templates,
    references,
    selects,
)
from tests.support.kubernetes.rendering import Manifest
from vapo.ledger.keys import Stage
from vapo.local.stack import MODULES, PARTS
from vapo.service import create_app
from vapo.settings import Settings, is_loopback, load_settings
from vapo.settings.presets import DEMO

OLDEST, NEWEST = "1.31", "1.37"
"""Kubernetes releases: the first in which all that is used is stable, and the newest known."""
SCHEMAS = Path(rendering.__file__).with_name("schemas")
KEDA = {OLDEST: "2.17.0", NEWEST: "2.20.2"}
"""Releases of KEDA whose definitions are in SCHEMAS: the oldest that will do, and a new one."""
SECRETS = {"vapo-tokens": {"user_token", "admin_token", "service_token"}, "vapo-redis-password": {"password"}}
"""What the operator makes, docs/operations.md; they must never be in a file here."""
LAYOUTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cpu": ("cpu", ()),
    "gpu": ("gpu", ()),
    "cpu with HPA": ("cpu", ("autoscaling-hpa",)),
    "cpu with KEDA": ("cpu", ("autoscaling-keda",)),
}
"""Name to overlay and the components added to it."""


@pytest.fixture(params=LAYOUTS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Manifest, ...]:
    """All objects of a layout."""
    base, components = LAYOUTS[request.param]
    if not components:
        return rendering.overlay(base)
    return rendering.render(rendering.write_overlay(tmp_path, base, components))


def settings_of(objects: Sequence[Manifest], part: str, folder: Path) -> Settings:
    """What the part resolves, from the settings file and the environment that its pod has."""
    file = folder / "settings.toml"
    file.write_text(config_files(objects, "vapo-settings")["settings.toml"], encoding="utf-8")
    return load_settings(file, environment=environment(objects, part_templates(objects)[part]))


def part_templates(objects: Sequence[Manifest]) -> dict[str, Manifest]:
    """Pod templates by the name of the part."""
    return {name.removeprefix("vapo-"): one for name, one in pod_templates(objects).items()}


def pod(objects: Sequence[Manifest], part: str) -> Pod:
    return Pod("vapo", part_templates(objects)[part]["metadata"]["labels"])


def http_parts(objects: Sequence[Manifest]) -> set[str]:
    """All parts that read the settings."""
    return set(part_templates(objects)) - {"redis"}


def key_of(one: Manifest) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def validate(one: Manifest, release: str) -> None:
    """Raise when the object does not fit its schema; unknown fields do not."""
    if one["apiVersion"] == "keda.sh/v1alpha1":
        schema = SCHEMAS / f"keda-{KEDA[release]}_{one['kind'].lower()}.json"
        jsonschema.validate(one, json.loads(schema.read_text(encoding="utf-8")))
    else:
        kubernetes_validate.validate(one, release, strict=True)


@cache
def validate_once(dumped: str, release: str) -> None:
    """Layouts have most objects in common."""
    validate(json.loads(dumped), release)


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
def test_every_object_fits_its_schema(objects: Sequence[Manifest], release: str) -> None:
    assert len(objects) > 25
    for one in objects:
        validate_once(json.dumps(one), release)


def test_validation_refuses_an_unknown_field() -> None:
    [deployment] = [one for one in rendering.overlay("cpu") if key_of(one) == "Deployment vapo-gateway"]
    changed = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(changed, NEWEST)


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
def test_validation_refuses_an_unknown_field_of_keda(release: str, tmp_path: Path) -> None:
    folder = rendering.write_overlay(tmp_path, "cpu", ["autoscaling-keda"])
    scaler = of_kind(rendering.render(folder), "ScaledObject")["vapo-generator"]
    changed = {**scaler, "spec": {**scaler["spec"], "maxReplicas": 2}}
    with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
        validate(changed, release)


def test_names_are_unique_and_all_in_the_namespace(objects: Sequence[Manifest]) -> None:
    assert len({key_of(one) for one in objects}) == len(objects)
    assert {one["metadata"].get("namespace") for one in objects if one["kind"] != "Namespace"} == {"vapo"}


def test_whatever_a_pod_refers_to_is_there(objects: Sequence[Manifest]) -> None:
    present = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for template in pod_templates(objects).values():
        for kind, name, key in references(template):
            if kind == "Secret":
                assert name in SECRETS
                assert key is None or key in SECRETS[name]
            else:
                assert (kind, name) in present
        assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in present


def test_services_select_pods_that_have_their_ports(objects: Sequence[Manifest]) -> None:
    for name, service in of_kind(objects, "Service").items():
        [template] = [
            one
            for one in pod_templates(objects).values()
            if service["spec"]["selector"].items() <= one["metadata"]["labels"].items()
        ]
        ports = {one["name"]: one["containerPort"] for one in container(template)["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"], name


def test_controllers_select_their_own_pods_and_nobody_elses(objects: Sequence[Manifest]) -> None:
    templates = pod_templates(objects)
    for one in objects:
        if one["kind"] not in ("Deployment", "DaemonSet", "StatefulSet", "PodDisruptionBudget"):
            continue
        chosen = [
            name
            for name, template in templates.items()
            if selects(one["spec"]["selector"], template["metadata"]["labels"])
        ]
        assert chosen == [one["metadata"]["name"]]


def test_every_pod_that_can_be_evicted_has_a_disruption_budget(objects: Sequence[Manifest]) -> None:
    evicted = set(pod_templates(objects)) - set(of_kind(objects, "DaemonSet"))
    assert set(of_kind(objects, "PodDisruptionBudget")) == evicted


def test_the_settings_load_and_agree_with_the_pods(objects: Sequence[Manifest], tmp_path: Path) -> None:
    for part in http_parts(objects):
        settings = settings_of(objects, part, tmp_path)
        section = getattr(settings, part)
        [http] = [one for one in container(part_templates(objects)[part])["ports"] if one["name"] == "http"]
        assert section.port == http["containerPort"]
        assert not is_loopback(section.host)
        assert settings.network.advertise_host == "10.0.0.7"
        redis = of_kind(objects, "Service")["vapo-redis"]["spec"]["ports"][0]["port"]
        assert settings.redis.url == f"redis://vapo-redis:{redis}/0"


def test_parts_are_started_as_the_project_starts_them(objects: Sequence[Manifest]) -> None:
    modules = {**MODULES, "relay": "services.relay"}
    for part in http_parts(objects):
        template = part_templates(objects)[part]
        command = expanded(
            container(template)["command"], {**environment(objects, template), "JOB_COMPLETION_INDEX": "0"}
        )
        assert command[:2] == ["python", "-m"]
        assert command[-4:] == ["-m", modules[part], "--config", "/etc/vapo/settings.toml"]


def test_the_demo_overlay_has_the_demos_settings(tmp_path: Path) -> None:
    objects = rendering.overlay("cpu")
    settings = settings_of(objects, "trainer", tmp_path)
    shown: dict[str, Any] = settings.model_dump(mode="json")
    for section, fields in DEMO.items():
        assert {name: shown[section][name] for name in fields} == fields


def test_mounts_have_volumes_and_cover_the_files_that_settings_name(
    objects: Sequence[Manifest], tmp_path: Path
) -> None:
    claims = {
        one["metadata"]["name"]: one["spec"].get("volumeClaimTemplates", [])
        for one in objects
        if one["kind"] == "StatefulSet"
    }
    for name, template in pod_templates(objects).items():
        volumes = {one["name"] for one in template["spec"]["volumes"]}
        volumes |= {one["metadata"]["name"] for one in claims.get(name, [])}
        mounts = container(template)["volumeMounts"]
        assert {one["name"] for one in mounts} == volumes, name
        assert len({one["mountPath"] for one in mounts}) == len(mounts)
    for part in PARTS:
        settings = settings_of(objects, part, tmp_path)
        folders = [one["mountPath"] for one in container(part_templates(objects)[part])["volumeMounts"]]
        assert str(settings.redis.password_file).startswith(tuple(folders))
        if part != "verifier":
            inside_image = settings.model.path.is_relative_to(Settings().model.path)
            assert inside_image or str(settings.model.path).startswith("/models/")
            assert inside_image or "/models" in folders


def mounts(objects: Sequence[Manifest], part: str) -> dict[str, tuple[Manifest, bool]]:
    """Mount path to the volume there and whether it can be written."""
    template = part_templates(objects)[part]
    volumes = {one["name"]: one for one in template["spec"]["volumes"]}
    return {
        one["mountPath"]: (volumes[one["name"]], not one.get("readOnly", False))
        for one in container(template)["volumeMounts"]
    }


def test_published_weights_reach_generators_and_value_services(objects: Sequence[Manifest], tmp_path: Path) -> None:
    settings = settings_of(objects, "generator", tmp_path)
    run = str(settings.run.directory)
    trainer, writable = mounts(objects, "trainer")[run]
    assert writable
    for part in ("generator", "value"):
        found = mounts(objects, part)
        if settings.weights.transport == "file":
            volume, writable = found[run]
            assert volume["persistentVolumeClaim"]["claimName"] == "vapo-trainer"
            assert not writable
        else:
            assert run not in found
            [(volume, writable)] = [
                found[place] for place in found if settings.weights_cache_directory.is_relative_to(place)
            ]
            assert "emptyDir" in volume
            assert writable
    assert trainer["persistentVolumeClaim"]["claimName"] == "vapo-trainer"


def test_a_volume_that_several_nodes_mount_may_be(objects: Sequence[Manifest]) -> None:
    claims = of_kind(objects, "PersistentVolumeClaim")
    nodes = of_kind(objects, "Job")["vapo-trainer"]["spec"]["completions"]
    for name, claim in claims.items():
        users = sum(
            nodes if owner == "vapo-trainer" else 1
            for owner, template in pod_templates(objects).items()
            if ("PersistentVolumeClaim", name, None) in references(template)
        )
        assert users >= 1
        wanted = "ReadWriteMany" if users > 1 else "ReadWriteOnce"
        assert claim["spec"]["accessModes"] == [wanted]


def test_replicas_ask_the_relay_of_their_node(objects: Sequence[Manifest], tmp_path: Path) -> None:
    settings = settings_of(objects, "generator", tmp_path)
    assert (settings.weights.transport == "http") == ("relay" in part_templates(objects))
    if settings.weights.transport == "file":
        return
    service = of_kind(objects, "Service")["vapo-relay"]["spec"]
    assert settings.weights.relay_url == f"http://vapo-relay:{service['ports'][0]['port']}"
    assert service["internalTrafficPolicy"] == "Local"
    assert "vapo-relay" in of_kind(objects, "DaemonSet")
    place = settings_of(objects, "relay", tmp_path).relay_directory
    assert [
        path
        for path, (volume, writable) in mounts(objects, "relay").items()
        if place.is_relative_to(path) and "emptyDir" in volume and writable
    ]


def test_probes_ask_what_the_services_answer(objects: Sequence[Manifest]) -> None:
    app = create_app("part", load_settings(environment={}), lambda: None)
    paths = {getattr(route, "path", None) for route in app.routes}
    for part in http_parts(objects) - {"trainer"}:
        one = container(part_templates(objects)[part])
        assert one["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        assert one["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        assert one["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        assert {"/healthz", "/readyz"} <= paths
    redis = container(part_templates(objects)["redis"])
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(redis)


def test_pods_have_no_more_rights_than_they_need(objects: Sequence[Manifest]) -> None:
    for template in pod_templates(objects).values():
        assert template["spec"]["automountServiceAccountToken"] is False
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        assert template["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(template)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container(template)["resources"]["limits"]
        assert {"cpu", "memory"} <= set(container(template)["resources"]["requests"])


def test_no_secret_has_a_value_here(objects: Sequence[Manifest]) -> None:
    assert of_kind(objects, "Secret") == {}
    for template in pod_templates(objects).values():
        plain = {one["name"] for one in container(template).get("env", []) if "value" in one}
        assert not {name for name in plain if "TOKEN" in name or "PASSWORD" in name}


def test_every_part_reaches_the_ledger_and_nothing_else_does(objects: Sequence[Manifest]) -> None:
    redis = pod(objects, "redis")
    for part in http_parts(objects):
        assert may_connect(objects, pod(objects, part), redis, 6379)
    assert not may_connect(objects, Pod("default", {}), redis, 6379)
    assert not may_connect(objects, Pod("vapo", {"app.kubernetes.io/name": "other"}), redis, 6379)


HTTP = {"gateway": 8000, "generator": 8001, "verifier": 8002, "value": 8003, "trainer": 8004, "relay": 8005}
ARROWS = {
    ("gateway", "generator", 8001),
    ("gateway", "trainer", 8004),
    ("trainer", "trainer", 29400),
    ("trainer", "trainer", 40000),
}
"""What goes over HTTP or between ranks; everything else goes through the ledger."""
RELAY_ARROWS = {("generator", "relay", 8005), ("value", "relay", 8005), ("relay", "trainer", 8004)}


def test_parts_reach_one_another_only_where_they_must(objects: Sequence[Manifest]) -> None:
    parts = http_parts(objects)
    needed = ARROWS | (RELAY_ARROWS if "relay" in parts else set())
    asked = {(source, target, HTTP[target]) for source in parts for target in parts if target != "gateway"} | needed
    allowed = {
        (source, target, port)
        for source, target, port in asked
        if may_connect(objects, pod(objects, source), pod(objects, target), port)
    }
    assert allowed == {*needed, ("trainer", "trainer", 8004)}


def test_the_outside_reaches_the_gateway_alone(objects: Sequence[Manifest]) -> None:
    outside = Pod("default", {"app": "anything"})
    prometheus = Pod("monitoring", {"app.kubernetes.io/name": "prometheus"})
    for part in http_parts(objects):
        port = HTTP[part]
        assert may_connect(objects, prometheus, pod(objects, part), port)
        assert may_connect(objects, outside, pod(objects, part), port) is (part == "gateway")
        assert not may_connect(objects, pod(objects, part), outside, 443)


def test_pods_can_look_names_up(objects: Sequence[Manifest]) -> None:
    names = Pod("kube-system", {"k8s-app": "kube-dns"})
    for part in part_templates(objects):
        for protocol in ("UDP", "TCP"):
            assert may_connect(objects, pod(objects, part), names, 53, protocol)


def test_the_trainers_nodes_are_counted_alike_everywhere(objects: Sequence[Manifest]) -> None:
    job = of_kind(objects, "Job")["vapo-trainer"]["spec"]
    variables = environment(objects, job["template"])
    budget = of_kind(objects, "PodDisruptionBudget")["vapo-trainer"]["spec"]["minAvailable"]
    assert job["completions"] == job["parallelism"] == budget == int(variables["TRAINER_NODES"])
    gpus = container(job["template"])["resources"]["limits"].get("nvidia.com/gpu")
    assert gpus is None or gpus == int(variables["TRAINER_PROCESSES"])


def test_torchrun_understands_the_trainers_command(objects: Sequence[Manifest]) -> None:
    job = of_kind(objects, "Job")["vapo-trainer"]
    variables = {**environment(objects, job["spec"]["template"]), "JOB_COMPLETION_INDEX": "0"}
    command = expanded(container(job["spec"]["template"])["command"], variables)
    arguments = get_args_parser().parse_args(command[3:])
    service = of_kind(objects, "Service")[job["spec"]["template"]["spec"]["subdomain"]]
    assert arguments.nnodes == variables["TRAINER_NODES"]
    assert arguments.nproc_per_node == variables["TRAINER_PROCESSES"]
    assert arguments.node_rank == 0
    assert arguments.master_addr == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert arguments.master_port in [one["port"] for one in service["spec"]["ports"]]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert arguments.training_script == "trainer"


def test_a_killed_trainer_is_replaced_and_a_finished_one_is_not(objects: Sequence[Manifest]) -> None:
    job = of_kind(objects, "Job")["vapo-trainer"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["podReplacementPolicy"] == "Failed"
    assert job["backoffLimit"] > 0
    variables = environment(objects, job["template"])
    grace = job["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > int(variables["TRAINER_SHUTDOWN_SECONDS"])


def test_a_generators_gpus_are_its_tensor_parallel_size(objects: Sequence[Manifest], tmp_path: Path) -> None:
    settings = settings_of(objects, "generator", tmp_path)
    gpus = container(part_templates(objects)["generator"])["resources"]["limits"].get("nvidia.com/gpu", 1)
    assert gpus == settings.generator.tensor_parallel_size


@pytest.mark.parametrize("part", ["trainer", "value"])
def test_a_part_that_is_given_gpus_does_not_start_without(
    part: str, objects: Sequence[Manifest], tmp_path: Path
) -> None:
    settings = settings_of(objects, part, tmp_path)
    limits = container(part_templates(objects)[part])["resources"]["limits"]
    promised = "cuda" if "nvidia.com/gpu" in limits else "auto"
    assert getattr(settings, part).device == promised


def test_generators_are_scaled_on_a_number_the_gateway_tells(objects: Sequence[Manifest], tmp_path: Path) -> None:
    scalers = [one for one in objects if one["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")]
    generator = of_kind(objects, "Deployment")["vapo-generator"]["spec"]
    if not scalers:
        assert generator["replicas"] == 1
        return
    [scaler] = scalers
    assert scaler["spec"]["scaleTargetRef"]["name"] == "vapo-generator"
    assert "replicas" not in generator
    depths = dict.fromkeys([name for stage in Stage for name in (stage, f"{stage}_leased")], 1)
    told = {"generation": generation_work(depths)}
    if scaler["kind"] == "ScaledObject":
        [trigger] = scaler["spec"]["triggers"]
        section, name = trigger["metadata"]["valueLocation"].split(".")
        authentication = of_kind(objects, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]
        for secret in authentication["spec"]["secretTargetRef"]:
            assert secret["key"] in SECRETS[secret["name"]]
    else:
        [metric] = scaler["spec"]["metrics"]
        prefix, section, name = metric["external"]["metric"]["name"].split("_")
        assert prefix == "vapo"
    assert told[section][name] == 4


def made_secrets(*names: str) -> dict[str, Manifest]:
    answer = subprocess.run(
        [sys.executable, rendering.MANIFESTS / "new_secrets.py", *names],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {one["metadata"]["name"]: one for one in json.loads(answer.stdout)["items"]}


def test_secrets_are_made_new_with_the_keys_that_pods_read() -> None:
    made, again = made_secrets(*SECRETS), made_secrets(*SECRETS)
    assert {name: set(one["stringData"]) for name, one in made.items()} == SECRETS
    values = [value for one in (*made.values(), *again.values()) for value in one["stringData"].values()]
    assert len(set(values)) == len(values) == 8
    assert min(map(len, values)) >= 32
    for one in made.values():
        validate(one, NEWEST)
        assert one["metadata"]["namespace"] == "vapo"


def test_the_maintenance_pod_sees_every_volume_of_the_run() -> None:
    one = yaml.safe_load((rendering.MANIFESTS / "maintenance.yaml").read_text(encoding="utf-8"))
    validate(one, NEWEST)
    objects = rendering.overlay("cpu")
    [template] = of_kind(objects, "StatefulSet")["vapo-redis"]["spec"]["volumeClaimTemplates"]
    redis = f"{template['metadata']['name']}-vapo-redis-0"
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in one["spec"]["volumes"]}
    assert claims == {redis, *of_kind(objects, "PersistentVolumeClaim")}
    for user in ("gateway", "redis"):
        there = part_templates(objects)[user]["spec"]["securityContext"]["runAsUser"]
        assert one["spec"]["securityContext"]["runAsUser"] == there
