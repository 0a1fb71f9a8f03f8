"""`make compose-test`: the whole platform under Docker Compose, scaled, killed, restarted, audited;
then the GPU composition, without a GPU.

Everything is made under a project name of its own and removed at the end. Variables (all optional):

    COMPOSE          the compose command (default: docker compose; or docker-compose, 1.29)
    DOCKER           the docker command
    BASE_IMAGE       base of our images; must be there (deploy/base_image.sh makes one) or reachable
    REDIS_IMAGE      an image with redis-server and redis-cli; `build`: made from BASE_IMAGE by
                     deploy/redis.Dockerfile
    BUILD            0: use images that are there already
    WHEELS           `fetch`: this machine's pip fetches all packages, and the build needs no index
    COMPOSE_TEST_PORT    of the gateway on loopback (default 18000); Prometheus takes the next
    COMPOSE_TEST_PROJECT name of the project (default vapo-compose-test)
    PROMETHEUS_IMAGE     starts Prometheus too, which must scrape every part

and, for the build, CA_BUNDLE, PIP_CONF, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, BUILD_NETWORK (see
deploy/compose.build.yml).
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error

from tests.compose import gpu, images, monitoring
from tests.compose.checks import (
    KILL_MAIN_PROCESS,
    PARTS,
    RECOVERY_SECONDS,
    START_SECONDS,
    STEP_SECONDS,
    all_healthy,
    all_work,
    keep_logs,
    one_shots_done,
    read_token,
    training_and_push,
    training_step,
)
from tests.compose.composed import CheckFailed, Platform, require, wait_for
from tests.compose.load import Clock, Load, problem

PROJECT = "vapo-compose-test"
SCRAPED = ("gateway", "verifier", "generator", "value", "trainer")
KILLED = ("verifier", "gateway", "value", "generator", "redis", "trainer")
LOCAL_REDIS = "vapo-redis:compose-test"
FIRST_PROMPTS = 16


def main() -> int:
    """Run it all; exit status 1 when a check failed."""
    clock = Clock()
    platform = new_platform()
    try:
        prepare_images(platform, clock)
        platform.compose("--profile", "monitoring", "down", "--volumes", "--remove-orphans")
        exercise(platform, clock)
        platform.compose("--profile", "monitoring", "down", "--volumes", "--remove-orphans")
        gpu.check(clock, platform)
        outcome = "PASSED"
    except CheckFailed as error:
        clock.say(f"FAILED: {error}")
        keep_logs(platform, clock)
        outcome = "FAILED"
    finally:
        platform.compose("--profile", "monitoring", "down", "--volumes", "--remove-orphans")
    print("\n".join(["", "summary", *clock.lines, f"compose-test {outcome}"]), flush=True)
    return 0 if outcome == "PASSED" else 1


def new_platform() -> Platform:
    """The project, with its settings file and port."""
    port = int(os.environ.get("COMPOSE_TEST_PORT") or 18000)
    environment = {
        "GATEWAY_PORT": str(port),
        "PROMETHEUS_PORT": str(port + 1),
        "VAPO_ENV": "tests/compose/test.env",
        "VAPO_IMAGE_PREFIX": os.environ.get("VAPO_IMAGE_PREFIX") or "vapo",
    }
    if os.environ.get("REDIS_IMAGE") == "build":
        environment["REDIS_IMAGE"] = LOCAL_REDIS
    if os.environ.get("WHEELS") == "fetch":
        environment["PIP_NO_INDEX"] = "1"
    return Platform(os.environ.get("COMPOSE_TEST_PROJECT") or PROJECT, port, environment)


def prepare_images(platform: Platform, clock: Clock) -> None:
    """Build what is not there."""
    base = os.environ.get("BASE_IMAGE") or ""
    if os.environ.get("BUILD") != "0":
        if os.environ.get("WHEELS") == "fetch":
            clock.say(f"{images.fetch_wheels()} wheel files fetched for the build")
        images.build(platform)
        clock.say("images built")
    if os.environ.get("REDIS_IMAGE") == "build":
        network = os.environ.get("BUILD_NETWORK") or "default"
        images.build_redis(platform, base, network, LOCAL_REDIS)
    prefix = platform.environment["VAPO_IMAGE_PREFIX"]
    for line in images.sizes(platform, prefix, base):
        clock.say(line)
    clock.say(images.check_light(platform, prefix))


def exercise(platform: Platform, clock: Clock) -> None:
    """All checks, in order."""
    start(platform, clock)
    check_containers(platform, clock)
    submit_from_outside(platform, clock)
    training_and_push(platform, clock, generators=1)
    monitoring.check_names(platform, clock, SCRAPED)
    monitoring.check_prometheus(platform, clock, SCRAPED)
    with Load(platform, first=FIRST_PROMPTS) as load:
        scale_under_load(platform, clock)
        kill_each_part(platform, clock)
        kill_by_operator(platform, clock)
    clock.say(
        f"load: {load.next} prompts accepted from outside in all, {load.failures} posts "
        "were sent again because the gateway was away"
    )
    down_and_up(platform, clock, load.next)
    finish_prompts(platform, clock, load.next)
    audit(platform, clock)


def start(platform: Platform, clock: Clock) -> None:
    """Up, all healthy, one-shot services done."""
    platform.compose("up", "--detach", "--no-build")
    wait_for("every part healthy", START_SECONDS, lambda: all_healthy(platform))
    platform.token = read_token(platform)
    wait_for("init and prompts done", 120, lambda: one_shots_done(platform))
    clock.say("up: " + ", ".join(PARTS) + " are healthy, secrets made, demo problems fed")


def check_containers(platform: Platform, clock: Clock) -> None:
    """No root, no secret in an environment, nothing published beyond loopback."""
    for part in PARTS:
        for container in platform.containers(part):
            state = platform.state(container)
            require(state["user"] not in ("", "0", "root"), f"{part} runs as root")
            exposed = [
                one for one in state["environment"] if "TOKEN" in one.partition("=")[0] and "TOKENIZERS" not in one
            ]
            require(not exposed, f"{part} has secrets in its environment: {exposed}")
            published = platform.docker("port", container).split("\n")
            open_ports = [one for one in published if one and "127.0.0.1:" not in one]
            require(not open_ports, f"{part} is published beyond loopback: {open_ports}")
    require(refused(platform), "the gateway answers without a token")
    clock.say(
        "no container runs as root, none has a secret in its environment, only the "
        f"gateway is published (127.0.0.1:{platform.port}), and it asks for the token"
    )


def refused(platform: Platform) -> bool:
    """Whether a wrong token is refused."""
    try:
        platform.call("GET", "/v1/metrics", token="wrong-token-wrong-token")
    except urllib.error.HTTPError as error:
        return error.code == 401
    return False


def submit_from_outside(platform: Platform, clock: Clock) -> None:
    """Prompts over REST; the same again changes nothing."""
    body = {"prompts": [problem(number) for number in range(FIRST_PROMPTS)]}
    first, second = platform.post("/v1/prompts", body), platform.post("/v1/prompts", body)
    require(first["accepted"] == FIRST_PROMPTS, f"not all prompts accepted: {first}")
    require(second["already_known"] == FIRST_PROMPTS, f"prompts accepted twice: {second}")
    clock.say(f"{FIRST_PROMPTS} prompts accepted over REST; sent again, none was counted twice")


def scale(platform: Platform, **counts: int) -> None:
    """Another number of containers, while everything runs."""
    options = [text for name, count in counts.items() for text in ("--scale", f"{name}={count}")]
    platform.compose("up", "--detach", "--no-build", "--no-recreate", *options)
    wait_for(f"scaled to {counts}", START_SECONDS, lambda: all_healthy(platform, **counts))


def scale_under_load(platform: Platform, clock: Clock) -> None:
    """1 -> 3 -> 1 generators (and 2 verifiers), each of them at work and on the newest weights."""
    scale(platform, generator=3, verifier=2)
    clock.say("scaled to 3 generators and 2 verifiers under load: all healthy")
    training_and_push(platform, clock, generators=3)
    wait_for("work for each generator", STEP_SECONDS, lambda: all_work(platform))
    urls = {one["url"] for one in platform.fleet("generator")}
    require(len(urls) == 3, f"generators share an address: {urls}")
    scale(platform, generator=1, verifier=1)
    wait_for("two generators gone from the fleet", RECOVERY_SECONDS, lambda: len(platform.fleet("generator")) == 1)
    clock.say("scaled back to 1 generator and 1 verifier")
    training_and_push(platform, clock, generators=1)


def kill_each_part(platform: Platform, clock: Clock) -> None:
    """SIGKILL to the main process of one container of each kind; Docker starts it again."""
    for part in KILLED:
        begun = time.monotonic()
        crash(platform, part)
        seconds = time.monotonic() - begun
        clock.say(f"{part}: killed with SIGKILL, ready again after {seconds:.0f} s")
    training_and_push(platform, clock, generators=1)


def crash(platform: Platform, part: str) -> None:
    """Kill one container's main process, and wait until Docker has started it again."""
    container = platform.containers(part)[0]
    before = platform.state(container)["restarts"]
    platform.docker("exec", container, "sh", "-c", KILL_MAIN_PROCESS)
    wait_for(f"{part} restarted", RECOVERY_SECONDS, lambda: platform.state(container)["restarts"] > before)
    wait_for(f"{part} healthy again", RECOVERY_SECONDS, lambda: platform.is_healthy(part))


def kill_by_operator(platform: Platform, clock: Clock) -> None:
    """`docker kill` of a generator; `up` brings it back."""
    platform.docker("kill", platform.containers("generator")[0])
    scale(platform, generator=1)
    clock.say("generator: docker kill, then up: healthy again")


def down_and_up(platform: Platform, clock: Clock, prompts: int) -> None:
    """Everything down, volumes kept, and up: same tokens, same prompts, the training goes on."""
    step = training_step(platform)
    platform.compose("down")
    require(not platform.all_containers("gateway"), "down left containers")
    clock.say(f"down at step {step}, volumes kept")
    platform.compose("up", "--detach", "--no-build")
    wait_for("every part healthy", START_SECONDS, lambda: all_healthy(platform))
    require(read_token(platform) == platform.token, "the tokens changed")
    again = platform.post("/v1/prompts", {"prompts": [problem(one) for one in range(prompts)]})
    require(again["already_known"] == prompts, f"prompts were forgotten: {again['accepted']}")
    require(training_step(platform) >= step - 3, "the training began anew")
    clock.say(f"up again: same tokens, all {prompts} prompts known")
    training_and_push(platform, clock, generators=1)


def finish_prompts(platform: Platform, clock: Clock, prompts: int) -> None:
    """Every prompt from outside reaches its end; none is dead."""
    waiting = [problem(number)["id"] for number in range(prompts)]

    def left() -> bool:
        waiting[:] = [one for one in waiting if not has_ended(platform, one)]
        return not waiting

    wait_for("every prompt from outside trained", STEP_SECONDS, left)
    dead = platform.get("/v1/metrics")["depths"]["dead"]
    require(dead == 0, f"{dead} dead letters")
    clock.say(f"all {prompts} prompts from outside were generated, judged and trained on; no dead letters")


def has_ended(platform: Platform, prompt_id: str) -> bool:
    """Whether each rollout of a prompt was trained on (those whose payload is trimmed were)."""
    told = platform.get(f"/v1/prompts/{prompt_id}")
    ended = ("trained", "acknowledged")
    return told["generated"] == told["samples"] and all(one["state"] in ended for one in told["rollouts"])


def audit(platform: Platform, clock: Clock) -> None:
    """Stop all parts but Redis, then look for every sample ever asked for."""
    step = training_step(platform)
    counters = platform.get("/v1/metrics")["counters"]
    platform.compose("stop", "trainer", "value", "generator", "verifier", "gateway")
    clock.say(f"step {step}; counters: {counters}")
    clock.say(f"audit of the ledger: {platform.audit()}")


if __name__ == "__main__":
    sys.exit(main())
