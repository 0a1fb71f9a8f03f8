"""What of the optional packages is installed; nothing is imported to see it.

Invariant: the table names every package that an extra of this distribution brings, but for plots
and screens of other commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec

from vapo.startup import StartupError

MODULES: Mapping[str, tuple[str, ...]] = {
    "gateway": ("arro3.io", "python_multipart", "tokenizers", "jinja2"),
    "verifier": ("math_verify",),
    "value": ("torch", "transformers", "safetensors"),
    "trainer": ("numba", "torch", "transformers", "safetensors"),
    "generator": ("torch", "transformers", "safetensors", "vllm"),
    "demo": ("matplotlib", "rich"),
}
"""What a part, or the demo's screen, imports beyond the packages that every part needs."""
OWN = ("vapo", "services", "trainer")
REMEDY = 'install them: pip install "vapo[local,engine-cpu]", or on a GPU host "vapo[local,engine-cuda]"'


class NotInstalledError(StartupError):
    """Packages are missing; the text names them and the extra that brings them."""


def check_installed(parts: Iterable[str]) -> None:
    """Return when all that `parts` import is there.

    Raises:
        NotInstalledError: something is missing.
    """
    needed = dict.fromkeys(module for part in parts for module in MODULES.get(part, ()))
    missing = [module for module in needed if not is_installed(module)]
    if missing:
        raise NotInstalledError(f"not installed here: {', '.join(missing)}; {REMEDY}")


def is_installed(module: str) -> bool:
    """Whether `module` could be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def missing_package(error: ModuleNotFoundError) -> NotInstalledError | None:
    """`error` as one line; None when it is a module of our own, which is a fault of the program."""
    package = (error.name or "").partition(".")[0]
    if not package or package in OWN:
        return None
    return NotInstalledError(f"not installed here: {package}; {REMEDY}")
