"""What lies where in the folder of a run on this machine, and how a client finds a running stack.

Invariants:
- `settings.json` is the resolved settings tree of the running stack, or of the last one that its
  parts accepted, secrets included, readable by its owner only;
- a folder is used by one stack at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vapo.file_lock import try_lock
from vapo.local.run_folders.run_outcome import read_outcome
from vapo.settings import Settings, SettingsError, dump_settings, load_settings
from vapo.startup import check_writable

RUNS = Path("runs")


class RunFolderError(RuntimeError):
    """A run folder is in use or missing; the text names the folder and the remedy."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of one run."""

    directory: Path

    @property
    def settings_file(self) -> Path:
        """Resolved settings with ports and tokens (mode 0600)."""
        return self.directory / "settings.json"

    @property
    def redis_directory(self) -> Path:
        """Data, password and configuration of the private Redis."""
        return self.directory / "redis"

    def log_file(self, process: str) -> Path:
        """Output of one process."""
        return self.directory / "logs" / f"{process}.log"

    def pid_file(self, process: str) -> Path:
        """Process id of one process while it runs."""
        return self.directory / "pids" / f"{process}.pid"

    @property
    def settings_before(self) -> Path:
        """While a start is being tried: the settings before it, or an empty file for none."""
        return self.directory / ".settings.before.json"

    def propose_settings(self, settings: Settings) -> None:
        """Replace `settings.json` until the folder is let go, and for good once `accept_settings`
        is called.
        """
        before = self.settings_file.read_text("utf-8") if self.settings_file.exists() else ""
        write_secret(self.settings_before, before)
        self.write_settings(settings)

    def accept_settings(self) -> None:
        """The parts work with the proposed settings."""
        self.settings_before.unlink(missing_ok=True)

    def take_back_refused(self) -> None:
        """Put back the settings from before a start that was not accepted."""
        if not self.settings_before.exists():
            return
        if self.settings_before.stat().st_size:
            self.settings_before.replace(self.settings_file)
        else:
            self.settings_file.unlink(missing_ok=True)
            self.settings_before.unlink()

    def write_settings(self, settings: Settings) -> None:
        """Replace `settings.json`."""
        text = json.dumps(dump_settings(settings, reveal_secrets=True), indent=2)
        write_secret(self.settings_file, text)

    def read_settings(self) -> Settings:
        """The settings of the stack that runs here, or ran here last.

        Raises:
            RunFolderError: no stack has run here.
            SettingsError: the file was written by another version.
        """
        if not self.settings_file.exists():
            raise RunFolderError(
                f"{self.directory} holds no run (no settings.json){self._why_refused()}; start one with `vapo up`"
            )
        try:
            return load_settings(self.settings_file, environment={})
        except SettingsError as error:
            raise SettingsError(
                f"{self.settings_file} cannot be used: {error}; it may be of another version of "
                "vapo: use that one, or remove the file (new tokens are made)"
            ) from None

    def _why_refused(self) -> str:
        keeper = read_outcome(self.directory).keeper
        if keeper is None or not keeper.reason:
            return ""
        return f"; its first start failed: {keeper.reason.splitlines()[0]}"

    def last_settings(self) -> Settings | None:
        """As `read_settings`; None when no stack has run here."""
        return self.read_settings() if self.settings_file.exists() else None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for one stack, until the context ends or the process dies.

        Raises:
            RunFolderError: another stack holds it.
            StartupError: it cannot be written, or not be locked.
        """
        check_writable("run.directory", self.directory)
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not try_lock(descriptor, self.directory / ".lock"):
                raise RunFolderError(
                    f"{self.directory} is in use by another stack; stop that one, "
                    "or choose another folder with --set run.directory=FOLDER"
                )
            self.take_back_refused()  # of a start that was killed
            try:
                yield
            finally:
                self.take_back_refused()
        finally:
            os.close(descriptor)


def write_secret(file: Path, text: str) -> None:
    """Write `text` to a file that only its owner may read, replacing it at once.

    Raises:
        OSError: it cannot be written; the error names it, and it is as it was.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(file)) from None
