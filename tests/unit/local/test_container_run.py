"""`vapo init` and the health check: what containers of one run share, and say of themselves."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from vapo.cli import dispatch
from vapo.service import healthcheck
from vapo.settings import MINIMUM_TOKEN_LENGTH, SecuritySettings, Settings, load_settings

PARTS = ("gateway", "generator", "verifier", "value", "trainer", "relay")
SECRETS = (*SecuritySettings.model_fields, "redis_password", "grafana_password")


def init(folder: Path, *options: str) -> Settings:
    """The settings that `vapo init` leaves for every container."""
    assert dispatch.main(["init", "--directory", str(folder), *options]) == 0
    return load_settings(folder / "settings.json", environment={})


def test_parts_listen_on_every_address_with_all_tokens_and_reach_redis(tmp_path: Path) -> None:
    settings = init(tmp_path, "--demo", "--set", "run.directory=/var/lib/vapo")
    assert {getattr(settings, part).host for part in PARTS} == {"0.0.0.0"}  # noqa: S104
    assert len({getattr(settings, part).port for part in PARTS}) == len(PARTS)
    assert settings.redis.url == "redis://redis:6379/0"
    assert settings.redis.password_file == tmp_path / "redis_password"
    assert all(getattr(settings.security, name) for name in SecuritySettings.model_fields)
    assert settings.sampling.samples_per_prompt == 8


def test_secrets_are_made_long_distinct_and_private(tmp_path: Path) -> None:
    init(tmp_path)
    secrets = [(tmp_path / name).read_text("ascii").strip() for name in SECRETS]
    assert len(set(secrets)) == len(SECRETS)
    assert all(len(secret) >= MINIMUM_TOKEN_LENGTH for secret in secrets)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {0o600}


def test_a_second_time_keeps_secrets_and_takes_new_settings(tmp_path: Path) -> None:
    init(tmp_path, "--set", "trainer.max_steps=7")
    before = {name: (tmp_path / name).read_text("ascii") for name in SECRETS}
    settings = init(tmp_path, "--set", "trainer.max_steps=9")
    assert {name: (tmp_path / name).read_text("ascii") for name in SECRETS} == before
    assert settings.trainer.max_steps == 9


def test_redis_keeps_an_append_only_file_behind_the_password(tmp_path: Path) -> None:
    init(tmp_path, "--set", "run.directory=/var/lib/vapo")
    lines = (tmp_path / "redis.conf").read_text("utf-8").splitlines()
    password = (tmp_path / "redis_password").read_text("ascii").strip()
    assert {
        "appendonly yes",
        "maxmemory-policy noeviction",
        f"requirepass {password}",
        'dir "/var/lib/vapo/redis"',
        "bind *",
    } <= set(lines)


def test_a_redis_of_ones_own_is_kept(tmp_path: Path) -> None:
    assert init(tmp_path, "--set", "redis.url=rediss://cache:6380/0").redis.url.endswith("6380/0")


@pytest.fixture
def part() -> Iterator[tuple[int, list[int]]]:
    """A port whose /readyz answers with the status in the list."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()
            self.wfile.write(json.dumps({"detail": "loading weights", "path": self.path}).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port, status
        server.shutdown()
        thread.join(timeout=10)


def test_health_is_readiness_with_its_reason(part: tuple[int, list[int]], capsys: pytest.CaptureFixture[str]) -> None:
    port, status = part
    assert healthcheck.main([str(port)]) == 0
    status[0] = 503
    assert healthcheck.main([str(port)]) == 1
    assert "503: loading weights" in capsys.readouterr().out


def test_a_port_that_does_not_answer_is_unhealthy(part: tuple[int, list[int]]) -> None:
    assert healthcheck.unready_reason(1) is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("model.max_context_tokens=100000", "model.max_context_tokens=100000 is more than"),
        ("model.path={here}", "has no config.json"),
        ("ledger.max_stale=1", "unknown setting"),
    ],
)
def test_what_is_refused_leaves_the_files_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, said: str
) -> None:
    init(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    words = ["init", "--directory", str(tmp_path), "--set", change.format(here=tmp_path)]
    assert dispatch.main(words) == 1
    assert said in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_model_that_only_the_containers_have_is_theirs_to_check(tmp_path: Path) -> None:
    settings = init(tmp_path, "--set", "model.path=/models/nowhere/at/all")
    assert settings.model.path == Path("/models/nowhere/at/all")
