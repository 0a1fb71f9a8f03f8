"""The files that the containers of one run share: settings, tokens, passwords.

Invariants:
- made once: a second call keeps every secret and writes the rest anew, so that settings may change
  between two starts while tokens stay valid;
- every file is readable by its owner only; nothing is a default.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from vapo.local.private_redis import server_configuration
from vapo.local.run_folders.run_folder import RunFolder, write_secret
from vapo.local.stack import PARTS, changed, tokens
from vapo.settings import SecuritySettings, Settings

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - inside a container's network, where every part needs tokens
REDIS_HOST, REDIS_PORT = "redis", 6379
REDIS_DATA = Path("redis")
"""Folder of Redis's data, under the run's folder."""
REDIS_PASSWORD_FILE = "redis_password"  # noqa: S105 - a file name
REDIS_CONFIGURATION_FILE = "redis.conf"
GRAFANA_PASSWORD_FILE = "grafana_password"  # noqa: S105 - a file name


def write_shared_files(settings: Settings, folder: Path) -> Settings:
    """Write to ``folder`` what every container of the run mounts; returns the settings written.

    Files: ``settings.json``, one file for each token (``user_token`` ...), ``redis_password``,
    ``redis.conf`` and ``grafana_password``.

    Raises:
        OSError: the folder cannot be written.
        SettingsError: its ``settings.json`` was written by another version.
    """
    resolved = shared_settings(settings, folder)
    RunFolder(folder).write_settings(resolved)
    for name in SecuritySettings.model_fields:
        write_secret(folder / name, getattr(resolved.security, name).get_secret_value() + "\n")
    password = kept_password(folder / REDIS_PASSWORD_FILE)
    data = settings.run.directory / REDIS_DATA
    write_secret(folder / REDIS_CONFIGURATION_FILE, server_configuration("*", REDIS_PORT, data, password))
    kept_password(folder / GRAFANA_PASSWORD_FILE)
    return resolved


def shared_settings(settings: Settings, folder: Path) -> Settings:
    """``settings`` for parts that reach one another over a network: all listen on every address,
    each with its own fixed port (a container has a network of its own), and all tokens are there.
    """
    redis: dict[str, Any] = {"password_file": folder / REDIS_PASSWORD_FILE}
    if "url" not in settings.redis.model_fields_set:
        redis |= {"url": f"redis://{REDIS_HOST}:{REDIS_PORT}/0"}
    return changed(
        settings,
        {
            "security": tokens(settings.security, RunFolder(folder)),
            "redis": redis,
            **{part: {"host": ALL_ADDRESSES} for part in (*PARTS, "relay")},
        },
    )


def kept_password(file: Path) -> str:
    """The password in ``file``; made there if there is none."""
    if not file.exists():
        write_secret(file, secrets.token_urlsafe(32) + "\n")
    return file.read_text(encoding="ascii").strip()
