"""Questions about rendered Kubernetes objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.support.kubernetes.rendering import Manifest

Labels = Mapping[str, str]


def of_kind(objects: Iterable[Manifest], kind: str) -> dict[str, Manifest]:
    """Objects of a kind by name."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pod_templates(objects: Iterable[Manifest]) -> dict[str, Manifest]:
    """Pod templates by the name of what makes the pods."""
    return {one["metadata"]["name"]: one["spec"]["template"] for one in objects if "template" in one.get("spec", {})}


def container(template: Manifest) -> Manifest:
    """The one container of a pod template."""
    [only] = template["spec"]["containers"]
    return only


def selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    """Whether a label selector (``matchLabels``, and ``matchExpressions`` with In) matches."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}, f"{selector}: not understood here"
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions), f"{selector}: only In is understood"
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def config_files(objects: Iterable[Manifest], name: str) -> dict[str, str]:
    """The data of a ConfigMap."""
    return of_kind(objects, "ConfigMap")[name]["data"]


def environment(objects: Iterable[Manifest], template: Manifest) -> dict[str, str]:
    """Plain variables of a container; those from Secrets and fields get a stand-in value."""
    objects = list(objects)
    found: dict[str, str] = {}
    for source in container(template).get("envFrom", []):
        found |= config_files(objects, source["configMapRef"]["name"])
    for one in container(template).get("env", []):
        found[one["name"]] = one.get("value", stand_in(one))
    return found


def stand_in(variable: Manifest) -> str:
    """A value such as the cluster would give."""
    source = variable.get("valueFrom", {})
    return "10.0.0.7" if "fieldRef" in source else "a-token-long-enough-for-the-rule"


def expanded(words: Iterable[str], variables: Mapping[str, str]) -> list[str]:
    """``$(NAME)`` replaced as the kubelet does."""
    return [re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], word) for word in words]


def references(template: Manifest) -> Iterator[tuple[str, str, str | None]]:
    """(kind, name, key) of every object a pod template needs; key None: the whole object."""
    for volume in template["spec"].get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], None
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], None
    for source in container(template).get("envFrom", []):
        yield "ConfigMap", source["configMapRef"]["name"], None
    for one in container(template).get("env", []):
        if secret := one.get("valueFrom", {}).get("secretKeyRef"):
            yield "Secret", secret["name"], secret["key"]
