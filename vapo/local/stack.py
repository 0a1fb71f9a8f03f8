"""All parts of the platform as processes on this machine: one run, one folder, one supervisor.

Invariants:
- the resolved settings every part reads stand in the run folder, with ports and tokens filled in;
  those of a start that was refused do not stay there;
- a run is started with the model it was begun with;
- a part or the private Redis that dies is started again at the same address;
- when the context ends, or this process dies in any way, nothing that it started runs on.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from vapo.ledger import Ledger
from vapo.ledger.connection import wait_for_redis
from vapo.local.addresses import reachable_url
from vapo.local.environment import computes_on_gpu, part_environment
from vapo.local.ports import claimed, free_ports, is_free
from vapo.local.private_redis import prepare, process_spec
from vapo.local.private_redis import wait_ready as wait_redis_ready
from vapo.local.run_folders.run_folder import RunFolder
from vapo.local.run_folders.run_outcome import kept
from vapo.local.run_folders.run_troubles import troubles_told
from vapo.local.run_folders.start_history import changes, check_model, describe_resume, newest_step, note_start
from vapo.local.supervision.managed_process import ProcessSpec
from vapo.local.supervision.readiness import Awaited, wait_ready
from vapo.local.supervision.supervisor import Supervisor
from vapo.model.folder.contents import check_model_folder
from vapo.model.text.tokenizer_files import NO_TEMPLATE, chat_template_source
from vapo.processes.python_module import module_command
from vapo.settings import SecuritySettings, Settings

PARTS = ("gateway", "verifier", "generator", "value", "trainer")
START_ORDER = ("generator", "trainer", "value", "gateway", "verifier")
"""Slowest to start first."""
MODULES = {
    "gateway": "services.gateway",
    "verifier": "services.verifier",
    "generator": "services.generator",
    "value": "services.value",
    "trainer": "trainer",
}
READY_SECONDS = {"gateway": 60.0, "verifier": 60.0, "value": 180.0, "generator": 300.0, "trainer": 300.0}
GRACE_SECONDS = {"trainer": 20.0}
"""The trainer may be in the middle of a checkpoint."""


class StackError(RuntimeError):
    """The stack cannot start or was given up; the text says which part and why."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many processes of what; 0 is none.

    Raises:
        ValueError: a count is below 0.
    """

    generators: int = 1
    verifiers: int = 1
    values: int = 1
    trainer_ranks: int = 1
    """GPUs (or gloo ranks) the trainer is sharded over; more than one starts it under torchrun."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} is below 0; 0 starts none")

    def count(self, part: str) -> int:
        """Processes of `part` that the stack itself starts."""
        counts = {
            "generator": self.generators,
            "verifier": self.verifiers,
            "value": self.values,
            "trainer": min(1, self.trainer_ranks),
        }
        return counts.get(part, 1)


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    settings: Settings
    """As the parts see them: ports, tokens and Redis filled in."""
    folder: RunFolder
    supervisor: Supervisor
    awaited: Mapping[str, Awaited] = field(default_factory=dict)
    accept: Callable[[], None] = lambda: None
    """Called once all parts are ready: the settings stay."""

    @property
    def gateway_url(self) -> str:
        """Base URL of the REST front."""
        return part_url(self.settings, "gateway", self.settings.gateway.port)

    @property
    def has_trainer(self) -> bool:
        """Whether the stack has a trainer of its own."""
        return "trainer" in self.supervisor.pids()

    @property
    def trains(self) -> bool:
        """Whether its trainer has work left; raises `StackError` when a part was given up."""
        running = self.supervisor.is_running("trainer")
        self.check()  # afterwards: one that is given up does not run either
        return running

    @contextmanager
    def troubles_told(self, report: Callable[[str], None]) -> Iterator[None]:
        """Within the context, tell what goes wrong without any part dying."""
        running = self.supervisor.is_running
        with troubles_told(self.settings, self.awaited, running, report):
            yield

    def check(self) -> None:
        """Raise `StackError` when a part was given up."""
        if self.supervisor.failure:
            raise StackError(self.supervisor.failure)

    def wait_ready(self) -> dict[str, float]:
        """Seconds until each part was ready; a trainer with no step left finishes instead.

        Raises:
            StackError: a part was given up.
            NotReadyError: a part missed its deadline.
        """
        took = wait_ready(self.awaited, self.check, lambda name: not self.supervisor.is_running(name))
        self.check()
        self.accept()
        return took


@contextmanager
def running_stack(
    settings: Settings, report: Callable[[str], None], shape: Shape | None = None, without: Set[str] = frozenset()
) -> Iterator[Stack]:
    """Start everything; stop everything when the context ends. Parts may not be ready yet.

    Args:
        report: told in one line whatever happens to a part.
        shape: how many processes of each part.
        without: parts not to start.

    Raises:
        RunFolderError: another stack uses the run's folder.
        RedisServerError: no Redis server, or it does not start.
        StackError: a port that the user's settings name is taken.
        StartupError: the model's folder cannot be used or holds another model than the run's, the
            run's folder cannot be written, or the Redis that the settings name does not answer.
    """
    check_model_folder(settings.model.path, context_tokens=settings.model.max_context_tokens)
    if chat_template_source(settings.model.path, settings.model.chat_template_name) is None:
        report(f"{settings.model.path}: {NO_TEMPLATE}")
    shape = shape or Shape()
    folder = RunFolder(settings.run.directory.resolve())
    supervisor = Supervisor(report)
    with folder.held(), kept_unless_refused(folder, settings), claimed(settings.gateway.port) as default_port:
        try:
            last = folder.last_settings()
            resolved = resolve(settings, folder, default_port)
            if not names_redis(settings):
                resolved = start_redis(resolved, folder, supervisor)
            forget_earlier_stop(resolved)
            accept = propose(folder, resolved, last, report)
            specs, awaited = parts_to_start(resolved, folder, shape, without)
            supervisor.start(specs)
            yield Stack(resolved, folder, supervisor, awaited, accept)
        finally:
            try:
                report("stopping all parts")
            finally:  # also when a second Ctrl-C comes meanwhile
                supervisor.stop(last=("redis",))


@contextmanager
def kept_unless_refused(folder: RunFolder, settings: Settings) -> Iterator[None]:
    """Keep the run (`vapo.local.run_folders.run_outcome`), if it was begun with this model.

    Raises:
        AnotherModelError: it was not; nothing was written.
    """
    check_model(folder.directory, folder.last_settings(), settings)
    with kept(folder.directory):
        yield


def propose(
    folder: RunFolder, settings: Settings, last: Settings | None, report: Callable[[str], None]
) -> Callable[[], None]:
    """Put the settings where the parts read them and say what changed; returns what to call once
    the parts have accepted them.
    """
    step, changed = newest_step(settings), changes(last, settings) if last else {}
    if last is not None:
        report(describe_resume(step, changed))
    folder.propose_settings(settings)

    def accept() -> None:
        folder.accept_settings()
        note_start(folder.directory, settings, step, changed)

    return accept


def resolve(settings: Settings, folder: RunFolder, default_port: bool = True) -> Settings:
    """Fill in absolute paths, tokens (those of the folder's last stack, or new ones) and ports.

    Args:
        default_port: whether the gateway may have its default port, if it is free.

    Raises:
        StackError: a port that the user's settings name is taken.
    """
    chosen = dict(zip(PARTS, free_ports(len(PARTS)), strict=True))
    return changed(
        settings,
        {
            "run": {"directory": folder.directory},
            "model": {"path": settings.model.path.resolve()},
            "security": tokens(settings.security, folder),
            **{
                part: {"port": usable_port(settings, part, chosen[part], default_port and part == "gateway")}
                for part in PARTS
            },
        },
    )


def usable_port(settings: Settings, part: str, chosen: int, default: bool) -> int:
    """The port that the user's settings name, the default one if it may be had, else `chosen`.

    All parts but the gateway are found through the fleet, so their default ports are left to
    whoever starts them by hand; of stacks that start at the same time one gets the gateway's.

    Raises:
        StackError: the user's settings name a port that is taken.
    """
    section = getattr(settings, part)
    named = "port" in section.model_fields_set and section.port != 0
    if (named or default) and section.port and is_free(section.host, section.port):
        return int(section.port)
    if named:
        raise StackError(
            f"{part}.port={section.port} is taken; stop what uses it, choose another with "
            f"--set {part}.port=PORT, or let one be chosen with --set {part}.port=0"
        )
    return chosen


def changed(settings: Settings, changes: Mapping[str, Mapping[str, Any]]) -> Settings:
    """The settings with some fields of some sections replaced."""
    sections = {name: getattr(settings, name).model_copy(update=dict(fields)) for name, fields in changes.items()}
    return settings.model_copy(update=sections)


def tokens(security: SecuritySettings, folder: RunFolder) -> dict[str, SecretStr]:
    """All three tokens: as set, else as the folder's last stack had them, else new."""
    last = folder.read_settings().security if folder.settings_file.exists() else SecuritySettings()
    return {
        name: getattr(security, name) or getattr(last, name) or SecretStr(secrets.token_urlsafe(32))
        for name in SecuritySettings.model_fields
    }


def names_redis(settings: Settings) -> bool:
    """Whether the user's settings name a Redis, which is then used instead of a private one."""
    return "url" in settings.redis.model_fields_set


def start_redis(settings: Settings, folder: RunFolder, supervisor: Supervisor) -> Settings:
    """Start the private Redis, wait until it answers, and return settings that name it."""
    server = prepare(folder.redis_directory)
    spec = process_spec(server, folder.log_file("redis"), folder.pid_file("redis"))
    supervisor.start([spec])
    wait_redis_ready(server)
    found = {"url": server.settings.url, "password_file": server.password_file}
    return changed(settings, {"redis": found})


def forget_earlier_stop(settings: Settings) -> None:
    """A run that was asked to stop, and has, goes on when it is started again, with parts of its
    own: those of the earlier start are no dead of this one.
    """
    wait_for_redis(settings.redis)
    ledger = Ledger.open(settings)
    ledger.control.clear_stop()
    ledger.fleet.clear()
    ledger.journal.forget_course()
    ledger.redis.close()


def parts_to_start(
    settings: Settings, folder: RunFolder, shape: Shape, without: Set[str]
) -> tuple[list[ProcessSpec], dict[str, Awaited]]:
    """What to start, and what to wait for; no value service in a run without a critic."""
    if not settings.has_critic:
        without = without | {"value"}
    environment = part_environment(os.environ, computes_on_gpu())
    specs, awaited = [], {}
    for part in [part for part in START_ORDER if part not in without]:
        for number, port in enumerate(ports_of(settings, part, shape.count(part))):
            name = part if number == 0 else f"{part}-{number + 1}"
            command = [*launcher(part, shape), "--config", str(folder.settings_file)]
            command += ["--set", f"{part}.port={port}"]
            specs.append(part_spec(part, name, command, environment, folder))
            awaited[name] = Awaited(part_url(settings, part, port), READY_SECONDS[part])
    return specs, awaited


def ports_of(settings: Settings, part: str, count: int) -> list[int]:
    """A port for each of `count` processes of `part`; the first has the settings'."""
    return [getattr(settings, part).port, *free_ports(count - 1)][:count]


def part_spec(part: str, name: str, command: list[str], environment: dict[str, str], folder: RunFolder) -> ProcessSpec:
    """One part as a process to supervise."""
    return ProcessSpec(
        name=name,
        command=tuple(command),
        log_file=folder.log_file(name),
        pid_file=folder.pid_file(name),
        environment=environment,
        grace_seconds=GRACE_SECONDS.get(part, 10.0),
        may_finish=part == "trainer",
    )


def launcher(part: str, shape: Shape) -> list[str]:
    """The start of a part's command line."""
    if part == "trainer" and shape.trainer_ranks > 1:
        ranks = str(shape.trainer_ranks)
        torchrun = ("trainer.ranks.torchrun", "--standalone", "--nproc-per-node", ranks)
        # Not SIGHUP: the guard says when to end, and under nohup it is to be ignored.
        signals = ("--signals-to-handle", "SIGTERM,SIGINT,SIGQUIT")
        return module_command(*torchrun, *signals, "-m", MODULES[part])
    return module_command(MODULES[part])


def part_url(settings: Settings, part: str, port: int) -> str:
    """Where a part of this stack is reached from this machine."""
    return reachable_url(getattr(settings, part).host, port)
