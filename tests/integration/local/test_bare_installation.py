"""A wheel installed without its extras: every command helps or says in one line what to install."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vapo.cli.registry import COMMANDS
from vapo.installation import MODULES, NotInstalledError, check_installed

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def distributions(requirements: list[str]) -> Iterator[str]:
    """All distributions that are installed because of `requirements`."""
    seen, waiting = set(), [Requirement(one) for one in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in seen or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        yield name
        waiting += [Requirement(text) for text in distribution(name).requires or []]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout's files, less the tests."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "vapo", "services", "trainer", "lab"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`vapo` in an environment with the wheel and the packages that every part needs."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    (packages,) = (folder / "venv" / "lib").glob("*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv"), "install", "--no-index"]
    subprocess.run([*pip, "--quiet", "--no-deps", str(wheel)], check=True, cwd=folder)
    for name in distributions(PROJECT["dependencies"]):
        link_distribution(name, packages)
    return folder / "venv" / "bin" / "vapo"


def link_distribution(name: str, packages: Path) -> None:
    """Let another environment have a distribution of this one."""
    for file in distribution(name).files or ():
        top = file.parts[0]
        here = Path(str(distribution(name).locate_file(top)))
        if top not in ("..", "__pycache__") and not (packages / top).exists():
            (packages / top).symlink_to(here)


def said(vapo: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [vapo, *words], cwd=folder, text=True, capture_output=True, check=False, timeout=60, env=environment
    )


@pytest.mark.slow
def test_the_wheel_has_three_packages_and_what_they_read(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vapo", "services", "trainer"}
    files = {path.relative_to(ROOT) for top in ("vapo", "services", "trainer") for path in (ROOT / top).rglob("*.*")}
    assert {path.as_posix() for path in files if path.suffix not in (".md", ".pyc")} - names == set()
    assert {"vapo/demo/problems.py", "vapo/demo/chain/chain.py", "vapo/assets/chain-base/model.safetensors"} <= names
    assert {"services/gateway/static/dashboard.html", "vapo/py.typed"} <= names
    assert any(name.endswith(".lua") for name in names)


@pytest.mark.slow
def test_every_command_helps(bare: Path, tmp_path: Path) -> None:
    for command in COMMANDS:
        done = said(bare, tmp_path, command.name, "--help")
        if command.in_checkout:
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
            assert done.stderr.startswith(f"vapo {command.name}: belongs to a checkout of the project")
        else:
            assert (done.returncode, done.stderr) == (0, ""), command.name
            assert done.stdout.startswith(f"usage: vapo {command.name}")
    assert "only in a checkout of the project, which this is not" in said(bare, tmp_path, "--help").stdout


@pytest.mark.slow
def test_the_demos_problems_come_with_the_wheel(bare: Path, tmp_path: Path) -> None:
    done = said(bare.with_name("python"), tmp_path, "-m", "vapo.demo.feed", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    words = ["--split", "train", "--count", "3", "--out", str(tmp_path / "problems.jsonl")]
    assert said(bare.with_name("python"), tmp_path, "-m", "vapo.demo.chain", *words).returncode == 0
    assert (tmp_path / "problems.jsonl").read_text().count("\n") == 3


@pytest.mark.slow
@pytest.mark.parametrize("words", [["up"], ["demo"]])
def test_what_needs_an_extra_names_it_in_one_line(bare: Path, tmp_path: Path, words: list[str]) -> None:
    done = said(bare, tmp_path, *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"vapo {words[0]}: not installed here: ")
    assert 'pip install "vapo[local,engine-cpu]"' in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_needs_none_works(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit('mine')")
    (tmp_path / "redis.py").write_text("raise SystemExit('mine')")
    assert json.loads(said(bare, tmp_path, "config").stdout)["run"]["name"] == "default"
    assert (
        said(
            bare, tmp_path, "plan", "--parameters", "7B", "--generator-rate", "9000", "--trainer-rate", "60000"
        ).returncode
        == 0
    )
    assert said(bare, tmp_path, "init", "--directory", "x").returncode == 0


def test_the_table_names_what_the_extras_bring() -> None:
    names = packages_distributions()
    for part in ("gateway", "verifier", "value", "trainer", "generator"):
        brought = {canonicalize_name(Requirement(one).name) for one in EXTRAS[part]}
        needed = {
            canonicalize_name(names[module.partition(".")[0]][0])
            for module in MODULES[part]
            if module != "vllm"  # one of two extras brings it
        }
        assert needed == brought | {name for name in needed if name.startswith("arro3")}, part


def test_missing_packages_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr("vapo.installation.find_spec", lambda name: None)
    with pytest.raises(NotInstalledError, match=r"^not installed here: arro3.io, .*jinja2; insta"):
        check_installed(["gateway"])


@pytest.mark.slow
@pytest.mark.parametrize("part", ["gateway", "verifier", "value", "generator", "trainer"])
def test_a_part_started_by_hand_says_what_to_install(part: str, bare: Path, tmp_path: Path) -> None:
    module = "trainer" if part == "trainer" else f"services.{part}"
    done = said(bare.with_name("python"), tmp_path, "-P", "-m", module)
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.startswith(f"{module}: not installed here: ")
    assert MODULES[part][-1] in done.stderr
    assert done.stderr.count("\n") == 1
