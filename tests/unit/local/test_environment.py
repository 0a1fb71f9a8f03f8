"""The environment holds what the packages ask for, but for what is left out on purpose."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

LEFT_OUT = {"torchvision", "torchaudio", "torchcodec"}
LEFT_OUT_BESIDE_THE_CPU_BUILD = {"triton"}
TORCH = Version(metadata.version("torch"))
ROOT = Path(__file__).resolve().parents[3]


def installed() -> dict[str, metadata.Distribution]:
    return {canonicalize_name(one.metadata["Name"]): one for one in metadata.distributions()}


def needed(distribution: metadata.Distribution, extras: set[str]) -> list[Requirement]:
    """Requirements that hold here, with the given extras."""
    requirements = [Requirement(text) for text in distribution.requires or []]
    return [
        one
        for one in requirements
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in {"", *extras})
    ]


def missing_names(roots: dict[str, set[str]]) -> set[str]:
    """Names (or conflicting requirements) absent from what `roots` and their dependencies need."""
    present, waiting, missing = installed(), dict(roots), set()
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.popitem()
        for one in needed(present[name], extras):
            wanted = canonicalize_name(one.name)
            if wanted not in present:
                missing.add(wanted)
            elif not one.specifier.contains(present[wanted].version, prereleases=True):
                missing.add(str(one))
            elif (wanted, frozenset(one.extras)) not in seen:
                seen.add((wanted, frozenset(one.extras)))
                waiting[wanted] = waiting.get(wanted, set()) | one.extras
    return missing


def test_nothing_is_missing_but_what_is_left_out_on_purpose() -> None:
    if "vapo" not in installed():
        pytest.skip("the project is not installed; run `make test`")
    missing = missing_names({"vapo": {"local", "engine-cpu", "test"}})
    if TORCH.local == "cpu":
        assert missing == LEFT_OUT | LEFT_OUT_BESIDE_THE_CPU_BUILD
    else:
        # vLLM's CPU build names torch's.
        assert {name for name in missing if not name.startswith("torch==")} == LEFT_OUT


def test_the_installed_versions_are_the_pinned_ones() -> None:
    if "vapo" not in installed():
        pytest.skip("the project is not installed; run `make test`")
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    if TORCH.local != "cpu":
        pins = [pin for pin in pins if pin.name != "torch"]
        assert f"torch=={TORCH.public}+cpu" in lines
    present = installed()
    differing = [
        str(pin)
        for pin in pins
        if (pin.marker is None or pin.marker.evaluate())
        and (
            canonicalize_name(pin.name) not in present
            or not pin.specifier.contains(present[canonicalize_name(pin.name)].version, prereleases=True)
        )
    ]
    assert differing == []


def test_beside_the_cpu_build_of_torch_no_cuda_package_is_installed() -> None:
    if TORCH.local != "cpu":
        pytest.skip(f"torch {TORCH} is not the CPU build, which pip did not find")
    assert [name for name in installed() if re.match(r"nvidia-|cuda-", name)] == []


def test_constraints_name_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert " @ " not in text
