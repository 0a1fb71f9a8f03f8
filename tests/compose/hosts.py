"""`make compose-hosts-test`: one run over two hosts that share no disk and no network.

Each "host" is a compose project with networks and volumes of its own; the second reaches the first
only through the ports that deploy/compose.publish.yml publishes on one address of this machine. The
images must be there (`make compose-test` builds them). Variables, all optional:
COMPOSE, DOCKER, REDIS_IMAGE, VAPO_IMAGE_PREFIX, PROMETHEUS_IMAGE, COMPOSE_TEST_PORT as in
tests/compose/run.py; PUBLISH_ADDRESS (default: this machine's address on Docker's bridge).
"""

from __future__ import annotations

import json
import os
import sys
import time

from tests.compose import monitoring
from tests.compose.checks import (
    KILL_MAIN_PROCESS,
    RECOVERY_SECONDS,
    START_SECONDS,
    STEP_SECONDS,
    all_work,
    keep_logs,
    read_token,
    training_step,
)
from tests.compose.composed import CheckFailed, Platform, require, wait_for
from tests.compose.load import Clock
from tests.compose.scrape import PORTS, number, scraped

HTTP_FILES = ("docker-compose.yml", "deploy/compose.http.yml")
REDIS_PORT, TRAINER_PORT = "16379", "18004"
REPLICAS = ("relay", "generator", "value")
GENERATORS = 2
OUTAGE_SECONDS = 10.0
POLL_SECONDS = 0.2
TRANSFER_SECONDS = 300.0


def main() -> int:
    """Run it all; exit status 1 when a check failed."""
    clock = Clock()
    first, second = new_hosts()
    outcome = "FAILED"
    try:
        remove(first, second)
        exercise(first, second, clock)
        outcome = "PASSED"
    except CheckFailed as error:
        clock.say(f"FAILED: {error}")
        keep_logs(first, clock, "compose-hosts-test/first")
        keep_logs(second, clock, "compose-hosts-test/second")
    finally:
        remove(first, second)
    print("\n".join(["", "summary", *clock.lines, f"compose-hosts-test {outcome}"]), flush=True)
    return 0 if outcome == "PASSED" else 1


def new_hosts() -> tuple[Platform, Platform]:
    """The two projects. The second knows two addresses of the first, and nothing else."""
    port = int(os.environ.get("COMPOSE_TEST_PORT") or 18000)
    common = {
        "VAPO_ENV": "tests/compose/hosts.env",
        "VAPO_IMAGE_PREFIX": os.environ.get("VAPO_IMAGE_PREFIX") or "vapo",
        "GATEWAY_PORT": str(port),
        "PROMETHEUS_PORT": str(port + 1),
    }
    files = (*HTTP_FILES, "deploy/compose.publish.yml")
    first = Platform("vapo-hosts-first", port, dict(common), files=files)
    address = os.environ.get("PUBLISH_ADDRESS") or bridge_address(first)
    published = {"PUBLISH_ADDRESS": address, "REDIS_PUBLISHED_PORT": REDIS_PORT, "TRAINER_PUBLISHED_PORT": TRAINER_PORT}
    known = {
        "VAPO__REDIS__URL": f"redis://{address}:{REDIS_PORT}/0",
        "VAPO__WEIGHTS__SOURCE_URL": f"http://{address}:{TRAINER_PORT}",
    }
    first.environment = common | published
    return first, Platform("vapo-hosts-second", port, common | known, files=HTTP_FILES)


def bridge_address(platform: Platform) -> str:
    """This machine's address on Docker's default bridge."""
    form = "{{(index .IPAM.Config 0).Gateway}}"
    return platform.docker("network", "inspect", "--format", form, "bridge").strip()


def remove(first: Platform, second: Platform) -> None:
    """Everything of both."""
    for one in (second, first):
        one.compose("--profile", "monitoring", "down", "--volumes", "--remove-orphans")


def exercise(first: Platform, second: Platform, clock: Clock) -> None:
    """All checks, in order."""
    start_first(first, clock)
    parts = tuple(PORTS)
    monitoring.check_names(first, clock, parts)
    monitoring.check_prometheus(first, clock, parts)
    version = hold_still(first, clock)
    join(first, second, version, clock)
    train_on_the_second_host(first, second, clock)
    outage(first, second, clock)
    audit(first, second, clock)


def start_first(first: Platform, clock: Clock) -> None:
    """The whole platform on one host, weights over its own relay."""
    first.compose("up", "--detach", "--no-build")
    parts = ("redis", "gateway", "verifier", "generator", "value", "trainer", "relay")
    wait_for("every part healthy", START_SECONDS, lambda: all(first.is_healthy(part) for part in parts))
    first.token = read_token(first)
    first.admin_token = read_token(first, "admin_token")
    wait_for("training step 2", STEP_SECONDS, lambda: training_step(first) >= 2)
    wait_for("weights in both replicas", STEP_SECONDS, lambda: lowest_version(first, 2) >= 1)
    clock.say("first host: up, trained, weights went over its relay to generator and value service")


def lowest_version(first: Platform, replicas: int) -> int:
    """The oldest version that a generator or value replica runs on; -1: others than so many."""
    found = first.fleet("generator") + first.fleet("value")
    return min(one["weight_version"] for one in found) if len(found) == replicas else -1


def hold_still(first: Platform, clock: Clock) -> int:
    """Pause, and wait until the newest version is everywhere and no byte moves any more."""
    control(first, "pause")
    seen: list[tuple[int, float]] = []

    def still() -> bool:
        newest = first.get("/v1/weights")["newest_version"]
        seen.append((newest, number(first, "trainer", "vapo_weights_bytes_served")))
        return len(seen) > 3 and len(set(seen[-3:])) == 1 and lowest_version(first, 2) == newest

    wait_for("the paused run to come to rest", STEP_SECONDS, still)
    clock.say(f"paused at version {seen[-1][0]}")
    return seen[-1][0]


def control(first: Platform, wish: str) -> None:
    """Pause or resume the run."""
    first.call("POST", f"/v1/control/{wish}", token=first.admin_token)


def join(first: Platform, second: Platform, version: int, clock: Clock) -> None:
    """The second host joins with two generators; its relay is killed in the middle of its fetch."""
    sizes = file_sizes(first, version)
    whole = sum(sizes.values())
    before = number(first, "trainer", "vapo_weights_bytes_served")
    hand_over_secrets(first, second)
    second.compose("up", "--detach", "--no-build", "--no-deps", "--scale", f"generator={GENERATORS}", *REPLICAS)
    kill_relay_in_the_middle(first, second, before, whole, clock)
    wait_for(
        f"{GENERATORS} generators and a value service more, all on version {version}",
        START_SECONDS,
        lambda: lowest_version(first, GENERATORS + 3) == version,
    )
    served = number(first, "trainer", "vapo_weights_bytes_served") - before
    relayed = number(second, "relay", "vapo_relay_bytes_served")
    require(
        whole <= served < 1.25 * whole, f"the trainer served {served:.0f} bytes of a version of {whole}; not one copy"
    )
    clock.say(
        f"second host: {GENERATORS} generators and a value service run on version {version}. "
        f"It has {whole} bytes {sizes}; the trainer served {served:.0f}, the restarted relay "
        f"{relayed:.0f}"
    )


def file_sizes(first: Platform, version: int) -> dict[str, int]:
    """Bytes of each file of a version."""
    path = f"/var/lib/vapo/weights/{version:08d}/manifest.json"
    told = json.loads(first.compose("exec", "-T", "trainer", "cat", path))
    return {name: int(entry["bytes"]) for name, entry in told["files"].items()}


def hand_over_secrets(first: Platform, second: Platform) -> None:
    """Settings, tokens and Redis's password, from volume to volume, as docs/operations.md says."""
    run = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "tar", "init", "-C", "/run/vapo")
    packed = first.compose_bytes(*run, "-cf", "-", ".")
    second.compose_bytes(*run, "-xf", "-", given=packed)


def kill_relay_in_the_middle(first: Platform, second: Platform, before: float, whole: int, clock: Clock) -> None:
    """SIGKILL to the relay when a quarter of the bytes, and not all, have left the trainer."""
    deadline = time.monotonic() + START_SECONDS
    served = 0.0
    while served < whole / 4:
        require(time.monotonic() < deadline, "the second host's relay fetches nothing")
        time.sleep(POLL_SECONDS)
        served = number(first, "trainer", "vapo_weights_bytes_served") - before
    container = second.containers("relay")[0]
    second.docker("exec", container, "sh", "-c", KILL_MAIN_PROCESS)
    require(served < whole, "the fetch was over before it could be cut")
    wait_for("the relay started again", RECOVERY_SECONDS, lambda: second.is_healthy("relay"))
    clock.say(f"second host: relay killed when {served:.0f} of {whole} bytes had left the trainer; it started again")


def train_on_the_second_host(first: Platform, second: Platform, clock: Clock) -> None:
    """The first host's replicas leave; the training goes on with those of the second."""
    first.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "generator=0", "--scale", "value=0")
    wait_for(
        "the first host's replicas to leave", RECOVERY_SECONDS, lambda: len(first.fleet("generator")) == GENERATORS
    )
    begun = training_step(first)
    control(first, "resume")
    steps_and_versions(first, begun + 2)
    wait_for("work for each generator of the second host", STEP_SECONDS, lambda: all_work(first))
    rollouts = [one["details"]["rollouts"] for one in first.fleet("generator")]
    clock.say(
        f"steps {begun} to {training_step(first)} with replicas of the second host alone; "
        f"rollouts of its generators: {rollouts}"
    )


def steps_and_versions(first: Platform, step: int) -> None:
    """Wait for a step, and for a version newer than any there was, in every replica."""
    newest = first.get("/v1/weights")["newest_version"]
    wait_for(f"training step {step}", STEP_SECONDS, lambda: training_step(first) >= step)
    wait_for(
        f"a version above {newest} in every replica",
        STEP_SECONDS,
        lambda: lowest_version(first, GENERATORS + 1) > newest,
    )


def outage(first: Platform, second: Platform, clock: Clock) -> None:
    """The relay's network goes away in the middle of a fetch, and comes back."""
    container, network = second.containers("relay")[0], f"{second.project}_default"
    fetched = scraped(second, container, "relay")["vapo_relay_bytes_fetched"]
    wait_for(
        "a fetch by the relay",
        TRANSFER_SECONDS,
        lambda: scraped(second, container, "relay")["vapo_relay_bytes_fetched"] > fetched,
    )
    second.docker("network", "disconnect", network, container)
    time.sleep(OUTAGE_SECONDS)
    second.docker("network", "connect", "--alias", "relay", network, container)
    steps_and_versions(first, training_step(first) + 2)
    clock.say(
        f"second host: relay without network for {OUTAGE_SECONDS:.0f} s; newer versions "
        f"reached every replica afterwards, step {training_step(first)}"
    )


def audit(first: Platform, second: Platform, clock: Clock) -> None:
    """Stop all parts but Redis, then look for every sample ever asked for."""
    second.compose("stop")
    first.compose("stop", "trainer", "verifier", "gateway", "relay")
    clock.say(f"audit of the ledger: {first.audit()}")


if __name__ == "__main__":
    sys.exit(main())
