"""Alerts and dashboard name only metrics that a part really has, and Prometheus asks every part."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from services.generator.part import GeneratorPart
from services.generator.queue_sampler import Totals
from services.generator.state import State
from services.relay.part import RelayPart
from services.value.part import ValuePart
from vapo.ledger.keys import Stage
from vapo.settings import Settings
from vapo.telemetry import MappingCollector

ROOT = Path(__file__).resolve().parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "vapo.json"
OF_PROMETHEUS_ITSELF = {"up", "process_resident_memory_bytes"}


def expressions() -> list[str]:
    """Every PromQL expression of the repository."""
    alerts = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
    rules = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return rules + [target["expr"] for panel in panels for target in panel["targets"]]


def named_metrics(expression: str) -> set[str]:
    """Metric names in an expression: our own, and the few others that are known."""
    words = set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", expression))
    return {word for word in words if word.startswith("vapo_") or word in OF_PROMETHEUS_ITSELF}


def shown(prefix: str, numbers: dict[str, float]) -> set[str]:
    """Names under which a mapping of numbers is scraped."""
    registry = CollectorRegistry()
    registry.register(MappingCollector(prefix, "test", lambda: numbers))
    return set(re.findall(r"^(vapo_\w+) ", generate_latest(registry).decode(), re.MULTILINE))


def generator_metrics() -> set[str]:
    proof = SimpleNamespace(timings=SimpleNamespace(standstill=0.1, prove=0.1), fetch_seconds=0.1)
    generator = SimpleNamespace(
        follower=SimpleNamespace(proof=proof, loads=1, failures=0),
        sampler=SimpleNamespace(totals=Totals()),
        state=SimpleNamespace(state=State.READY, version=1),
        engine=SimpleNamespace(in_flight=0, interruptions=0),
    )
    return shown("vapo_generator", GeneratorPart.numbers(generator))  # type: ignore[arg-type]


def value_metrics() -> set[str]:
    value = SimpleNamespace(
        _replica=SimpleNamespace(version=SimpleNamespace(version=1)),
        scorer=SimpleNamespace(scored_responses=1, scored_tokens=1),
        _calibration=SimpleNamespace(read=dict),
    )
    return shown("vapo_value", ValuePart.numbers(value))  # type: ignore[arg-type]


def relay_metrics() -> set[str]:
    cache = SimpleNamespace(versions=lambda: [1], bytes_fetched=1)
    relay = SimpleNamespace(_cache=cache, served=SimpleNamespace(total=1))
    return shown("vapo_relay", RelayPart.numbers(relay))  # type: ignore[arg-type]


def queue_metrics() -> set[str]:
    names = ["backlog", "admitted", "dead"]
    names += [name for stage in Stage for name in (str(stage), f"{stage}_leased")]
    return {f"vapo_queue_length_{name}" for name in names}


def text_constants(*files: str) -> set[str]:
    """Every string constant of some source files: among them the keys of the metrics they write."""
    trees = [ast.parse((ROOT / file).read_text("utf-8")) for file in files]
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def training_metrics() -> set[str]:
    row = text_constants("trainer/records/report.py", "trainer/loop.py", "services/gateway/gauges.py")
    return {f"vapo_training_{name}" for name in row}


def trainer_metrics() -> set[str]:
    return (
        {f"vapo_trainer_{name}" for name in text_constants("trainer/part.py", "trainer/process.py")}
        | {"vapo_trainer_version"}
        | {f"vapo_weights_{name}" for name in text_constants("trainer/routes.py")}
    )


def verifier_metrics() -> set[str]:
    named = text_constants("services/verifier/service.py", "services/verifier/part.py")
    workers = {f"vapo_verifier_{name}" for name in named}
    return workers | {f"{name}{end}" for name in named for end in ("_total", "_bucket")}


@pytest.fixture(scope="module")
def registered() -> set[str]:
    """Names of all metrics that the parts show."""
    parts = (
        generator_metrics(),
        value_metrics(),
        queue_metrics(),
        training_metrics(),
        trainer_metrics(),
        verifier_metrics(),
        relay_metrics(),
    )
    return OF_PROMETHEUS_ITSELF.union(*parts)


def test_every_metric_of_alerts_and_dashboard_exists(registered: set[str]) -> None:
    for expression in expressions():
        names = named_metrics(expression)
        assert names, f"no metric in {expression}"
        assert names <= registered, f"{names - registered} in {expression}"


def test_a_metric_that_no_part_has_is_found_out(registered: set[str]) -> None:
    assert not named_metrics("rate(vapo_generator_responses_total[1m])") <= registered
    assert not named_metrics("vapo_queue_length_waiting > 0") <= registered


def test_generator_totals_are_scraped_as_totals() -> None:
    assert {f"vapo_generator_{one.name}_total" for one in fields(Totals)} <= generator_metrics()


def test_prometheus_asks_every_part_at_its_own_port() -> None:
    told = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    ports = {job["dns_sd_configs"][0]["names"][0]: job["dns_sd_configs"][0]["port"] for job in told["scrape_configs"]}
    defaults = Settings()
    assert ports == {
        part: getattr(defaults, part).port for part in ("gateway", "generator", "verifier", "value", "trainer", "relay")
    }
