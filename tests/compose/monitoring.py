"""Alerts and dashboard against what runs: the names they use, and a real Prometheus if wanted.

With PROMETHEUS_IMAGE in the environment (an image whose entry point is Prometheus) the service
`prometheus` is started too; every scrape must succeed and every expression must be understood.
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from tests.compose.composed import ROOT, CheckFailed, Platform, require, wait_for
from tests.compose.load import Clock
from tests.compose.scrape import scraped

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "vapo.json"
OF_HTTP_WEIGHTS = ("vapo_relay_", "vapo_weights_")
NAMES_SECONDS = 300.0
SCRAPES_SECONDS = 300.0


def expressions() -> list[str]:
    """Every PromQL expression of alerts and dashboard."""
    rules = re.findall(r"^ +expr: (.+)$", ALERTS.read_text("utf-8"), re.MULTILINE)
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return rules + [target["expr"] for panel in panels for target in panel["targets"]]


def check_names(platform: Platform, clock: Clock, services: Sequence[str]) -> None:
    """Every metric that alerts and dashboard name is shown by a part that runs now.

    A figure that a step lacks (no two returns differ, say) is waited for.
    """
    named = {name for one in expressions() for name in re.findall(r"vapo_\w+", one)}
    if "relay" not in services:
        named = {name for name in named if not name.startswith(OF_HTTP_WEIGHTS)}
    lacking = set(named)

    def all_seen() -> bool:
        for service in services:
            for container in platform.containers(service):
                lacking.difference_update(scraped(platform, container, service))
        return not lacking

    try:
        wait_for("every metric of alerts and dashboard", NAMES_SECONDS, all_seen)
    except CheckFailed:
        raise CheckFailed(f"no part shows {sorted(lacking)}") from None
    clock.say(f"all {len(named)} metrics of alerts and dashboard are shown by the parts that run")


def check_prometheus(platform: Platform, clock: Clock, services: Sequence[str]) -> None:
    """Prometheus finds every part, scrapes it and understands every expression."""
    if not os.environ.get("PROMETHEUS_IMAGE"):
        return
    platform.compose(
        "--profile", "monitoring", "up", "--detach", "--no-build", "--no-recreate", "--no-deps", "prometheus"
    )
    wait_for(f"Prometheus to scrape {sorted(services)}", SCRAPES_SECONDS, lambda: jobs_up(platform) == set(services))
    for one in expressions():
        require(_asked(platform, "query", one)["status"] == "success", f"not understood: {one}")
    rules = _asked(platform, "rules")["data"]["groups"]
    unwell = [rule["name"] for group in rules for rule in group["rules"] if rule["health"] == "err"]
    require(not unwell, f"alerts that cannot be evaluated: {unwell}")
    clock.say(f"Prometheus scrapes {sorted(services)} and understands all {len(expressions())} expressions")


def jobs_up(platform: Platform) -> set[str]:
    """Jobs that have targets, all of which answer."""
    targets = _asked(platform, "targets")["data"]["activeTargets"]
    unwell = {one["labels"]["job"] for one in targets if one["health"] != "up"}
    return {one["labels"]["job"] for one in targets} - unwell


def _asked(platform: Platform, what: str, query: str = "") -> dict[str, Any]:
    port = platform.environment["PROMETHEUS_PORT"]
    options = f"?{urllib.parse.urlencode({'query': query})}" if query else ""
    url = f"http://127.0.0.1:{port}/api/v1/{what}{options}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        told: dict[str, Any] = json.loads(answer.read())
    return told
