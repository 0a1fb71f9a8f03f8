"""The composed platform as the test sees it: the compose command line, and REST from outside.

Standard library only, so that the test runs from a fresh clone without an environment.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMAND_DEADLINE_SECONDS = 900.0
BUILD_DEADLINE_SECONDS = 5400.0
REST_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 1.0


class CheckFailed(AssertionError):
    """Something that was promised did not happen; the text names it."""


@dataclass
class Platform:
    """One compose project."""

    project: str
    port: int
    environment: Mapping[str, str]
    compose_command: list[str] = field(
        default_factory=lambda: shlex.split(os.environ.get("COMPOSE") or "docker compose")
    )
    docker_command: list[str] = field(default_factory=lambda: shlex.split(os.environ.get("DOCKER") or "docker"))
    files: tuple[str, ...] = ()
    """Compose files; none: docker-compose.yml alone."""
    options: tuple[str, ...] = ()
    """Further options of every compose command, such as an environment file."""
    token: str = ""
    admin_token: str = ""

    # Commands ------------------------------------------------------------------------------

    def compose(self, *arguments: str, files: tuple[str, ...] = (), deadline: float | None = None) -> str:
        """Standard output of a compose command. Raises CheckFailed when it fails."""
        return self._run(self.words(*arguments, files=files), deadline or COMMAND_DEADLINE_SECONDS)

    def compose_bytes(self, *arguments: str, given: bytes = b"") -> bytes:
        """As :meth:`compose`, for what is no text; ``given`` is the command's standard input."""
        return self._piped(self.words(*arguments), given, COMMAND_DEADLINE_SECONDS)

    def words(self, *arguments: str, files: tuple[str, ...] = ()) -> list[str]:
        """The words of a compose command for this project."""
        chosen = [option for file in files or self.files for option in ("-f", file)]
        return [*self.compose_command, *self.options, *chosen, "-p", self.project, *arguments]

    def docker(self, *arguments: str) -> str:
        """Standard output of a docker command. Raises CheckFailed when it fails."""
        return self._run([*self.docker_command, *arguments], COMMAND_DEADLINE_SECONDS)

    def _run(self, command: list[str], deadline: float) -> str:
        return self._piped(command, b"", deadline).decode(errors="replace")

    def _piped(self, command: list[str], given: bytes, deadline: float) -> bytes:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            input=given,
            capture_output=True,
            timeout=deadline,
            check=False,
        )
        if done.returncode:
            told = b"\n".join((done.stdout[-3000:], done.stderr[-3000:])).decode(errors="replace")
            raise CheckFailed(f"{shlex.join(command)} ended with {done.returncode}:\n{told}")
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers that run."""
        return self._listed(service, "status=running")

    def all_containers(self, service: str) -> list[str]:
        """Ids of a service's containers, ended ones included."""
        return self._listed(service)

    def _listed(self, service: str, *filters: str) -> list[str]:
        labels = (
            f"label=com.docker.compose.project={self.project}",
            f"label=com.docker.compose.service={service}",
            "label=com.docker.compose.oneoff=False",
        )
        chosen = [option for one in (*labels, *filters) for option in ("--filter", one)]
        return self.docker("ps", "--all", "--no-trunc", "--quiet", *chosen).split()

    def state(self, container: str) -> dict[str, Any]:
        """Docker's view of a container: status, exit code, health, restarts."""
        told = self.docker("inspect", container)
        one = json.loads(told)[0]
        health = one["State"].get("Health", {}).get("Status", "none")
        return {
            "status": one["State"]["Status"],
            "exit_code": one["State"]["ExitCode"],
            "health": health,
            "restarts": one["RestartCount"],
            "image": one["Config"]["Image"],
            "user": one["Config"]["User"],
            "environment": one["Config"]["Env"],
        }

    def is_healthy(self, service: str, count: int = 1) -> bool:
        """Whether so many containers of a service run, all of them ready."""
        found = self.containers(service)
        return len(found) == count and all(self.state(one)["health"] == "healthy" for one in found)

    def audit(self) -> str:
        """What ``vapo audit`` finds in the ledger, from a container of its own: its last line."""
        entrypoint = ("--rm", "--no-deps", "-T", "--entrypoint", "python")
        words = ("gateway", "-m", "vapo.cli", "audit", "--config", "/run/vapo/settings.json")
        return self.compose("run", *entrypoint, *words).strip().splitlines()[-1]

    # REST ----------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """The JSON answer to a GET."""
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer to a POST."""
        return self.call("POST", path, body)

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """One request to the gateway's published port; raises urllib's errors."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token if token is None else token}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=REST_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return json.loads(answer.read())

    def fleet(self, part: str) -> list[dict[str, Any]]:
        """Members of a part that are not DEAD."""
        members = self.get("/v1/fleet")["members"]
        return [one for one in members if one["part"] == part and one["state"] != "DEAD"]


def wait_for(what: str, seconds: float, check: Callable[[], Any]) -> Any:
    """The first true answer of ``check``; a gateway that does not answer counts as not yet.

    Raises:
        CheckFailed: there was none in time; the text names ``what`` and the last error.
    """
    deadline, problem = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            found = check()
            if found:
                return found
        except OSError as error:  # urllib's errors are OSErrors
            problem = f"; last error: {error}"
        time.sleep(POLL_SECONDS)
    raise CheckFailed(f"{what}: not within {seconds:.0f} s{problem}")


def require(condition: object, what: str) -> None:
    """Raise CheckFailed unless ``condition``."""
    if not condition:
        raise CheckFailed(what)
