"""Whether the NetworkPolicies of a set of objects let one pod reach another. Pure.

Semantics (networking.k8s.io/v1): a pod that no policy selects for a direction is open in it; else
one rule of one policy that selects it must allow the other end and the port.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.support.kubernetes.objects import Labels, of_kind, selects
from tests.support.kubernetes.rendering import Manifest

NAMESPACE_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Pod:
    """One end of a connection."""

    namespace: str
    labels: Labels


def may_connect(objects: Iterable[Manifest], source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
    """Whether ``source`` may open a connection to ``port`` of ``target``."""
    policies = list(of_kind(objects, "NetworkPolicy").values())
    return _allowed(policies, source, target, "Egress", port, protocol) and _allowed(
        policies, target, source, "Ingress", port, protocol
    )


def _allowed(policies: Sequence[Manifest], subject: Pod, other: Pod, direction: str, port: int, protocol: str) -> bool:
    concerning = [policy for policy in policies if _concerns(policy, subject, direction)]
    if not concerning:
        return True
    return any(
        _rule_allows(rule, policy["metadata"]["namespace"], other, port, protocol)
        for policy in concerning
        for rule in policy["spec"].get(direction.lower(), [])
    )


def _concerns(policy: Manifest, subject: Pod, direction: str) -> bool:
    return (
        policy["metadata"]["namespace"] == subject.namespace
        and direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], subject.labels)
    )


def _rule_allows(rule: Manifest, namespace: str, other: Pod, port: int, protocol: str) -> bool:
    peers = rule.get("from", rule.get("to"))
    ports = rule.get("ports")
    return (peers is None or any(_is_peer(peer, namespace, other) for peer in peers)) and (
        ports is None or any(_covers(one, port, protocol) for one in ports)
    )


def _is_peer(peer: Manifest, namespace: str, other: Pod) -> bool:
    if "namespaceSelector" in peer:
        in_namespace = selects(peer["namespaceSelector"], {NAMESPACE_LABEL: other.namespace})
    else:
        in_namespace = other.namespace == namespace
    return in_namespace and selects(peer.get("podSelector", {}), other.labels)


def _covers(allowed: Manifest, port: int, protocol: str) -> bool:
    last = allowed.get("endPort", allowed["port"])
    return allowed.get("protocol", "TCP") == protocol and allowed["port"] <= port <= last
