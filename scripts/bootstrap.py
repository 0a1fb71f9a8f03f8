"""Makes `.venv` from `constraints.txt` and `pyproject.toml`; standard library only.

Invariants:
- `.venv/.complete` exists only when the environment matches both files, so a second `make` does
  nothing;
- an interrupted installation is never built upon: `.venv/.unfinished` marks it and the next run
  starts over;
- one process at a time works on the environment;
- pip's resolver is not used, so that no package can draw CUDA builds into a CPU environment; but
  for torch itself, where its CPU build is nowhere to be found.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
CONSTRAINTS = ROOT / "constraints.txt"
COMPLETE = ENVIRONMENT / ".complete"
UNFINISHED = ENVIRONMENT / ".unfinished"
PYTHON = ENVIRONMENT / "bin" / "python"

PLAIN_TORCH_NOTICE = """
pip does not find {torch}, PyTorch's CPU build, where it is configured to look.
Installing {plain} instead: it runs on the CPU just as well, but brings CUDA packages of some
4 GB. To avoid them, interrupt this and point pip at a place that has the CPU build:
  - PIP_EXTRA_INDEX_URL=ADDRESS make ...   with the address of PyTorch's package index for CPU
    (the "pip" and "CPU" choices on PyTorch's installation page show it), or
  - PIP_FIND_LINKS=FOLDER make ...         with a folder that holds the wheel file.
"""


class BootstrapError(Exception):
    """The environment could not be made; the text says what to do."""


def main() -> int:
    """Make the environment; returns the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file may be run by an older one
        print(f"vapo needs Python 3.11 or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    try:
        with only_one_at_a_time():
            make_environment()
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next make starts the installation over.", file=sys.stderr)
        return 130
    return 0


@contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Hold a lock on the project folder, so that `make demo` and `make test` can be started
    together.
    """
    descriptor = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_environment() -> None:
    """Create or bring up to date, and set the stamp last."""
    if newer_than_sources(COMPLETE):
        return
    started = time.monotonic()
    COMPLETE.unlink(missing_ok=True)
    create_if_needed()
    UNFINISHED.touch()
    install_packages()
    install_project()
    UNFINISHED.unlink()
    COMPLETE.touch()
    print(f"The environment is ready ({time.monotonic() - started:.0f} s).", flush=True)


def newer_than_sources(stamp: Path) -> bool:
    """Whether another process has finished the work while this one waited for the lock."""
    sources = (CONSTRAINTS, ROOT / "pyproject.toml", Path(__file__))
    return stamp.exists() and stamp.stat().st_mtime >= max(source.stat().st_mtime for source in sources)


def create_if_needed() -> None:
    """An empty environment, unless a sound one of this Python version is there already."""
    if UNFINISHED.exists() or not runs_this_version():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    if not PYTHON.exists():
        print(f"Making .venv with Python {sys.version.split()[0]} ...", flush=True)
        create()


def runs_this_version() -> bool:
    """Whether `.venv` holds a working Python of the running version, in its present place."""
    probe = "import sys; print(sys.version, sys.prefix)"
    if not PYTHON.exists():
        return False
    answer = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True, check=False)
    return answer.stdout.strip() == f"{sys.version} {ENVIRONMENT}"


def create() -> None:
    """`python -m venv .venv`, with the remedy when the system's Python lacks the parts it needs."""
    try:
        venv.EnvBuilder(with_pip=True, symlinks=True).create(ENVIRONMENT)
    except (subprocess.CalledProcessError, OSError) as error:
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        raise BootstrapError(
            f"Python could not make a virtual environment: {error}\n"
            "On Debian and Ubuntu the package python3-venv is needed for it."
        ) from None


def install_packages() -> None:
    """All pinned packages; torch first, since it alone may have to be another build."""
    print("Installing the packages of constraints.txt ...", flush=True)
    install_torch(pinned("torch"))
    with tempfile.TemporaryDirectory() as folder:
        others = Path(folder) / "constraints.txt"
        others.write_text(without_torch(), encoding="utf-8")
        if pip("install", "--no-deps", "--requirement", others) != 0:
            raise BootstrapError("pip could not install constraints.txt; its message is above.")


def install_torch(torch: str) -> None:
    """The CPU build, or where pip finds none the plain one, with what it needs."""
    if pip("install", "--no-deps", torch) == 0:
        return
    plain = torch.removesuffix("+cpu")
    print(PLAIN_TORCH_NOTICE.format(torch=torch, plain=plain), file=sys.stderr, flush=True)
    if pip("install", plain) != 0:
        raise BootstrapError(f"pip could not install {plain} either; its message is above.")


def without_torch() -> str:
    """constraints.txt less its line for torch."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("torch=="))


def pinned(name: str) -> str:
    """The requirement that constraints.txt holds for `name`, such as `torch==2.13.0+cpu`."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(f"{name}=="))


def install_project() -> None:
    """The project itself, editable, built with the pinned setuptools (no build environment to
    download).
    """
    if pip("install", "--no-deps", "--no-build-isolation", "--editable", ROOT) != 0:
        raise BootstrapError("pip could not install the project itself; its message is above.")


def pip(*arguments: str | Path) -> int:
    """Run the environment's pip; returns its exit status. Questions are refused, since nobody may
    be there.
    """
    options = ["-qq", "--no-input", "--disable-pip-version-check"]
    return subprocess.run([PYTHON, "-m", "pip", *options, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
