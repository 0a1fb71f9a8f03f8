"""What a container shows at ``/metrics``, asked from inside it."""

from __future__ import annotations

import re

from tests.compose.composed import Platform

PORTS = {"gateway": 8000, "generator": 8001, "verifier": 8002, "value": 8003, "trainer": 8004, "relay": 8005}
SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{[^}]*\})? (\S+)", re.MULTILINE)
ASK = """
import pathlib, sys, urllib.request
token = pathlib.Path("/run/vapo/user_token").read_text().strip()
request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/metrics",
                                 headers={"Authorization": f"Bearer {token}"})
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""


def scraped(platform: Platform, container: str, service: str) -> dict[str, float]:
    """Value by name; of a name with labels, the sum. Raises CheckFailed when it does not answer."""
    told = platform.docker("exec", container, "python", "-c", ASK, str(PORTS[service]))
    found: dict[str, float] = {}
    for name, value in SAMPLE.findall(told):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def number(platform: Platform, service: str, name: str) -> float:
    """One metric of a service's only container."""
    return scraped(platform, platform.containers(service)[0], service)[name]
