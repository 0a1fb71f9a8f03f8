"""The page at /docs of real services works without internet: it loads everything from the part."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from tests.support.parts import Parts
from tests.support.running_gateway import RunningGateway

TOKENS = [f"security.{name}_token={name}-0123456789abcdef" for name in ("user", "admin", "service")]


class Loaded(HTMLParser):
    """What a page loads: values of src, and of href of links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        self.urls += [str(value) for name, value in attrs if name in ("src", "href")]


def assert_needs_nothing_from_elsewhere(url: str) -> None:
    """Without a token, as a browser asks."""
    with httpx.Client(base_url=url, timeout=20) as browser:
        answer = browser.get("/docs")
        assert answer.status_code == 200
        assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", answer.text) == []
        loaded = Loaded(answer.text).urls
        kinds = {urlsplit(one).path.rpartition(".")[2] for one in loaded}
        assert kinds == {"js", "css", "png"}
        for one in loaded:
            assert urljoin(url, one).startswith(f"{url}/")
            asset = browser.get(one)
            assert asset.status_code == 200, one
            assert asset.content, one
        (document,) = re.findall(r"url: '([^']+)'", answer.text)
        assert browser.get(document).json()["openapi"].startswith("3.")


def assert_policy_allows_the_part_alone(url: str) -> None:
    policy = httpx.get(f"{url}/docs").headers["content-security-policy"]
    directives = dict(one.strip().split(" ", 1) for one in policy.split(";"))
    assert directives["default-src"] == "'none'"
    sources = {word for words in directives.values() for word in words.split()}
    assert sources == {"'none'", "'self'", "'unsafe-inline'", "data:"}


@pytest.mark.slow
def test_a_running_verifier_serves_the_whole_page(parts: Parts) -> None:
    url = parts.start("services.verifier", *TOKENS).url
    assert httpx.get(f"{url}/metrics").status_code == 401, "tokens are set"
    assert_needs_nothing_from_elsewhere(url)
    assert_policy_allows_the_part_alone(url)


def test_a_running_gateway_serves_the_whole_page(gateway: RunningGateway) -> None:
    assert_needs_nothing_from_elsewhere(gateway.url)
    assert_policy_allows_the_part_alone(gateway.url)


def test_the_page_that_would_ask_another_host_is_off(gateway: RunningGateway) -> None:
    """FastAPI's second page, ReDoc, draws its logo from its maker's host."""
    assert gateway.client.get("/redoc").status_code == 404
    assert "/docs" not in gateway.client.get("/openapi.json").json()["paths"]
