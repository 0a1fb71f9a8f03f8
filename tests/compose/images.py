"""Builds the images, on request from packages that this machine's pip fetches beforehand, and holds
the light ones to what they may weigh and contain.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from tests.compose.composed import BUILD_DEADLINE_SECONDS, ROOT, Platform, require

BUILD_FILES = ("docker-compose.yml", "deploy/compose.build.yml")
WHEELS = ROOT / "deploy" / "images" / "wheels"
PARTS = ("gateway", "verifier", "generator", "value", "trainer")
LIGHT_PARTS = ("gateway", "verifier")
LARGEST_LIGHT_BYTES = 300_000_000
"""Of a light image in total, its base included."""
FIND_TORCH = "import importlib.util; print(importlib.util.find_spec('torch') is not None)"


def build(platform: Platform) -> None:
    """All images of the platform."""
    platform.compose("build", files=BUILD_FILES, deadline=BUILD_DEADLINE_SECONDS)


def build_redis(platform: Platform, base_image: str, network: str, tag: str) -> None:
    """A Redis image from the base image's package source, with whatever builder docker has."""
    arguments = ("--build-arg", f"BASE_IMAGE={base_image}") if base_image else ()
    platform.docker(
        "build", "--quiet", "--network", network, *arguments, "--file", "deploy/redis.Dockerfile", "--tag", tag, "."
    )


def fetch_wheels() -> int:
    """Have this machine's pip, as it is configured, put every package of the images into the
    build folder; returns how many files lie there. The base image must have this Python's version.

    Raises:
        CalledProcessError: pip could not; its message is above.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.EnvBuilder(with_pip=True).create(folder)
        pip = [str(Path(folder) / "bin" / "python"), "-m", "pip", "wheel", "-qq", "--no-deps"]
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text("\n".join(sorted(set(pins()))) + "\n", encoding="utf-8")
        options = ["--find-links", str(WHEELS), "--wheel-dir", str(WHEELS), "-r", str(wanted)]
        subprocess.run([*pip, *options], check=True, stdout=sys.stderr)
    return len(list(WHEELS.glob("*.whl")))


def pins() -> Iterator[str]:
    """`name==version` of every package of an image, and of what builds the project. Markers are
    left out: the image's Python may be another patch release than this one.
    """
    files = [*sorted((ROOT / "deploy/images/requirements").glob("*.txt")), ROOT / "constraints.txt"]
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            name = line.partition("==")[0]
            if "==" in line and (file.name != "constraints.txt" or name == "setuptools"):
                yield line.partition(";")[0].strip()


def sizes(platform: Platform, prefix: str, base_image: str) -> list[str]:
    """One line for each image: its size, and how much of it lies over the base."""
    base = size_of(platform, base_image) if base_image else 0
    lines = []
    for part in PARTS:
        whole = size_of(platform, f"{prefix}-{part}:cpu")
        over = f", {(whole - base) / 1e6:.0f} MB over the base" if base else ""
        lines.append(f"image {part}: {whole / 1e6:.0f} MB{over}")
    return lines


def check_light(platform: Platform, prefix: str) -> str:
    """One line: the images without models are small and hold no torch. Raises CheckFailed."""
    for part in LIGHT_PARTS:
        image = f"{prefix}-{part}:cpu"
        size = size_of(platform, image)
        require(
            size < LARGEST_LIGHT_BYTES,
            f"{image} has {size} bytes, {LARGEST_LIGHT_BYTES} "
            "are allowed; is the base image a small one (deploy/base_image.sh)?",
        )
        held = platform.docker(
            "run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", FIND_TORCH
        ).strip()
        require(held == "False", f"{image} holds torch")
    return f"{' and '.join(LIGHT_PARTS)}: no torch, under {LARGEST_LIGHT_BYTES / 1e6:.0f} MB"


def size_of(platform: Platform, image: str) -> int:
    """Bytes of an image, all layers."""
    return int(platform.docker("image", "inspect", "--format", "{{.Size}}", image))
