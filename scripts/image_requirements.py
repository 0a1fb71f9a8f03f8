"""Writes `deploy/images/requirements/PART.txt`: the pinned packages each container image holds.

A list is what the part's extra of `pyproject.toml` needs, and what that needs, with the versions of
`constraints.txt`. It is read off the metadata of the packages in the running environment, so run
this with `.venv/bin/python` after either file has changed; tests/unit/deploy/test_image_requirements.py
holds that the lists are current.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "images" / "requirements"
EXTRAS = {
    "gateway": ("gateway",),
    "verifier": ("verifier",),
    "generator": ("generator", "engine-cpu"),
    "value": ("value",),
    "trainer": ("trainer",),
}
LEFT_OUT = {"gateway": {"huggingface-hub"}}
"""Packages that a package names, but the part never reaches, by part: they stay out of the image
with all that only they need. huggingface-hub: tokenizers names it for downloads from a hub; the
gateway reads its tokenizer from the model's folder, and no part downloads anything.
tests/integration/deploy/test_image_imports.py holds that the part works without.
"""
OLDEST_PYTHON = {"python_version": "3.11", "python_full_version": "3.11.0"}
"""Markers of Python's version are judged for the oldest one, whatever runs this; the lines keep
theirs, so that a newer Python leaves out what it does not need.
"""
HEADER = "# Written by scripts/image_requirements.py from pyproject.toml and constraints.txt.\n"


def main() -> int:
    """Write all lists; returns the exit status."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    if missing := not_installed():
        print(
            f"not installed here: {', '.join(missing)}; run this with .venv/bin/python after `make environment`",
            file=sys.stderr,
        )
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    for part in EXTRAS:
        (FOLDER / f"{part}.txt").write_text(requirements_text(part), encoding="utf-8")
    return 0


def not_installed() -> list[str]:
    """Pinned packages that the parts ask for and this environment lacks: lists read off it would be
    short.
    """
    pins = pinned_lines()
    asked = {canonicalize_name(one.name) for part in EXTRAS for one in part_requirements(part)}
    here = {canonicalize_name(found.name) for found in metadata.distributions()}
    return sorted(name for name in asked & set(pins) if name not in here)


def requirements_text(part: str) -> str:
    """The list of one image, as a requirements file."""
    pins = pinned_lines()
    names = closure(part_requirements(part), LEFT_OUT.get(part, set()))
    return HEADER + "".join(f"{pins[name]}\n" for name in sorted(names) if name in pins)


def pinned_lines() -> dict[str, str]:
    """Lines of `constraints.txt` by normalised name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(Requirement(line).name): line for line in wanted}


def part_requirements(part: str) -> list[Requirement]:
    """What the project itself asks for when installed with the part's extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for extra in EXTRAS[part] for text in extras[extra])]
    return [Requirement(text) for text in texts]


def closure(roots: list[Requirement], left_out: set[str]) -> set[str]:
    """Names of the packages that `roots` draw in, but for `left_out`. Those left out of the
    environment on purpose (see constraints.txt) are named too, and have no pin.
    """
    waiting, seen = list(roots), set[tuple[str, frozenset[str]]]()
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key not in seen and key[0] not in left_out:
            seen.add(key)
            waiting.extend(needed(*key))
    return {name for name, _ in seen}


def needed(name: str, extras: frozenset[str]) -> list[Requirement]:
    """Direct requirements of an installed package; of one that is not installed, none."""
    try:
        texts = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    requirements = [Requirement(text) for text in texts]
    return [one for one in requirements if one.marker is None or holds(one, extras)]


def holds(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Whether a requirement's marker is true here with `extras`, or without any."""
    marker = requirement.marker
    return marker is not None and any(marker.evaluate({**OLDEST_PYTHON, "extra": one}) for one in {"", *extras})


if __name__ == "__main__":
    sys.exit(main())
