"""What the tests of compositions look at and wait for, on any of their platforms."""

from __future__ import annotations

from pathlib import Path

from tests.compose.composed import ROOT, CheckFailed, Platform, wait_for
from tests.compose.load import Clock

PARTS = ("redis", "gateway", "verifier", "generator", "value", "trainer")
START_SECONDS = 900.0
STEP_SECONDS = 600.0
RECOVERY_SECONDS = 400.0
KILL_MAIN_PROCESS = "kill -9 $(cat /proc/1/task/1/children)"
"""PID 1 is the init that Docker adds; its child is the part. This ends as a crash does; a
`docker kill` is an operator's wish to Docker, after which it starts nothing again.
"""


def all_healthy(platform: Platform, **counts: int) -> bool:
    """Whether all parts run, in the numbers asked for (1 by default), and are ready."""
    return all(platform.is_healthy(part, counts.get(part, 1)) for part in PARTS)


def one_shots_done(platform: Platform) -> bool:
    """Whether the services that run once have ended well."""
    states = [platform.state(one) for service in ("init", "prompts") for one in platform.all_containers(service)]
    return all(one["status"] == "exited" and one["exit_code"] == 0 for one in states)


def read_token(platform: Platform, name: str = "user_token") -> str:
    """A token, as a person would read it."""
    return platform.compose("exec", "-T", "gateway", "cat", f"/run/vapo/{name}").strip()


def training_step(platform: Platform) -> int:
    """The newest training step; 0 before the first."""
    latest = platform.get("/v1/metrics")["latest"]
    return int(latest["step"]) if latest else 0


def training_and_push(platform: Platform, clock: Clock, generators: int) -> None:
    """Two more steps, and a version newer than all that is loaded now in every replica."""
    begun = training_step(platform)
    wait_for(f"training step {begun + 2}", STEP_SECONDS, lambda: training_step(platform) >= begun + 2)
    newest = platform.get("/v1/weights")["newest_version"]
    wait_for(
        f"weight version above {newest} in every replica",
        STEP_SECONDS,
        lambda: all_have(platform, newest + 1, generators),
    )
    loaded = sorted(
        (one["part"], one["weight_version"]) for part in ("generator", "value") for one in platform.fleet(part)
    )
    clock.say(f"training: step {training_step(platform)}; weights loaded: {loaded}")


def all_have(platform: Platform, version: int, generators: int) -> bool:
    """Whether every generator and value replica runs on ``version`` or a newer one."""
    members = platform.fleet("generator")
    replicas = members + platform.fleet("value")
    return len(members) == generators and all(one["weight_version"] >= version for one in replicas)


def all_work(platform: Platform) -> bool:
    """Whether each generator has finished responses of its own."""
    return all(one["details"].get("rollouts", 0) > 0 for one in platform.fleet("generator"))


def keep_logs(platform: Platform, clock: Clock, name: str = "compose-test") -> None:
    """The containers' logs, for whoever looks for the reason."""
    folder = ROOT / "build" / name
    folder.mkdir(parents=True, exist_ok=True)
    wanted = (("containers.txt", ("ps", "--all")), ("logs.txt", ("logs", "--no-color")))
    for name, command in wanted:
        try:
            Path(folder / name).write_text(platform.compose(*command), encoding="utf-8")
        except CheckFailed as error:
            clock.say(f"{name} could not be written: {error}")
    clock.say(f"logs are in {folder}")
