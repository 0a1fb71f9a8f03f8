"""HTTP clients are made in one place, and none of them uses a proxy."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from vapo.service.http_clients import async_http_client, http_client

ROOT = Path(__file__).resolve().parents[3]
THE_PLACE = "vapo/service/http_clients.py"
MAKERS = {
    "Client",
    "AsyncClient",
    "HTTPTransport",
    "AsyncHTTPTransport",
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "head",
    "options",
    "request",
    "stream",
}
"""What sends requests in httpx."""
OTHER_LIBRARIES = {"requests", "aiohttp", "urllib3", "urllib.request", "httpx2", "http.client"}
PROXYLESS = {"vapo/service/healthcheck.py": "http.client"}
"""The standard library's own client knows no proxies."""


def _sources() -> list[Path]:
    return [
        path
        for folder in ("vapo", "services", "trainer", "scripts", "lab")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def _made_in(tree: ast.Module) -> list[str]:
    """Uses of httpx that would make a client, and imports of other libraries that send requests."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [node.attr] if node.value.id == "httpx" and node.attr in MAKERS else []
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {alias.name for alias in node.names}
            found += sorted(names & MAKERS) if node.module == "httpx" else []
            whole = {node.module, *(f"{node.module}.{name}" for name in names)}
            found += sorted(whole & OTHER_LIBRARIES)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in OTHER_LIBRARIES]
    return found


def test_clients_are_made_in_one_place() -> None:
    made: dict[str, list[str]] = {}
    for path in _sources():
        name = path.relative_to(ROOT).as_posix()
        uses = [use for use in _made_in(_without_annotations(path)) if use != PROXYLESS.get(name)]
        if uses and name != THE_PLACE:
            made[name] = uses
    assert made == {}, f"make these with {THE_PLACE}"


def _without_annotations(path: Path) -> ast.Module:
    """The module without its annotations, which name types and make nothing."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return tree


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense"])
def test_whatever_proxies_the_environment_names_a_client_is_made(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, address)
    with http_client() as client:
        assert not client.trust_env
    assert not async_http_client().trust_env
