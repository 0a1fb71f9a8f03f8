"""Supervision with real processes: restarts, giving up, and nothing left running whoever is
killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import wait_until
from vapo.local.supervision.managed_process import ManagedProcess, ProcessSpec
from vapo.local.supervision.restarts import RestartPolicy
from vapo.local.supervision.supervisor import Supervisor

SLEEP = (sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);time.sleep(600)",
)
# A part that starts two children as an engine does: one plain, one that leaves its group and
# session.
FAMILY = (
    sys.executable,
    "-S",
    "-c",
    "import subprocess, sys, time\n"
    "sleep = [sys.executable, '-S', '-c', 'import time; time.sleep(600)']\n"
    "plain = subprocess.Popen(sleep)\n"
    "escaped = subprocess.Popen(sleep, start_new_session=True)\n"
    "print(plain.pid, escaped.pid, flush=True)\n"
    "time.sleep(600)\n",
)
QUICK = RestartPolicy(limit=3, first_delay_seconds=0.05, longest_delay_seconds=0.05)

wait_soon = partial(wait_until, seconds=10)


def gone(pid: int) -> bool:
    """Whether no live process has this id (a zombie is dead)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def spec(folder: Path, command: tuple[str, ...], grace: float = 5.0, name: str = "part") -> ProcessSpec:
    return ProcessSpec(name, command, folder / f"{name}.log", folder / f"{name}.pid", grace_seconds=grace)


def family_pids(one: ProcessSpec) -> list[int]:
    """The ids that a FAMILY command printed, once it has."""
    wait_soon(lambda: one.log_file.exists() and one.log_file.read_text().endswith("\n"))
    return [int(word) for word in one.log_file.read_text().split()[-2:]]


def living_pid(process: ManagedProcess) -> int:
    wait_soon(lambda: process.pid is not None)
    assert process.pid is not None
    return process.pid


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    messages: list[str] = []
    supervisor = Supervisor(messages.append, QUICK)
    supervisor.messages = messages  # type: ignore[attr-defined]
    yield supervisor
    supervisor.stop()


def test_exit_status_is_the_commands(tmp_path: Path) -> None:
    process = ManagedProcess(spec(tmp_path, (sys.executable, "-S", "-c", "print('hi'); raise SystemExit(7)")))
    assert process.wait(10) == 7
    assert process.log_tail() == "hi"


def test_clean_stop_takes_no_longer_than_the_command(tmp_path: Path) -> None:
    process = ManagedProcess(one := spec(tmp_path, SLEEP))
    wait_soon(lambda: one.log_file.read_text() == "up\n")
    started = time.monotonic()
    assert process.stop() == 128 + signal.SIGTERM
    assert time.monotonic() - started < 2.0


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    process = ManagedProcess(one := spec(tmp_path, STUBBORN, grace=0.3))
    wait_soon(lambda: one.log_file.read_text() == "up\n")
    assert process.stop() == 128 + signal.SIGKILL


def test_stop_leaves_no_descendant(tmp_path: Path) -> None:
    process = ManagedProcess(one := spec(tmp_path, FAMILY))
    pids = family_pids(one)
    assert not any(gone(pid) for pid in pids)
    process.stop()
    assert all(gone(pid) for pid in pids)


def test_killing_the_command_takes_its_descendants_along(tmp_path: Path) -> None:
    process = ManagedProcess(one := spec(tmp_path, FAMILY))
    pids = family_pids(one)
    os.kill(living_pid(process), signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL
    assert all(gone(pid) for pid in pids)


def test_killing_the_guard_takes_the_command_along(tmp_path: Path) -> None:
    process = ManagedProcess(spec(tmp_path, SLEEP))
    command = living_pid(process)
    guard = psutil.Process(command).parent()
    assert guard is not None
    guard.kill()
    assert process.wait(10) == 128 + signal.SIGKILL
    wait_soon(lambda: gone(command))


def test_nothing_outlives_an_owner_killed_with_sigkill(tmp_path: Path) -> None:
    owner_code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from vapo.local.supervision.managed_process import ManagedProcess, ProcessSpec\n"
        f"folder, command = Path({str(tmp_path)!r}), {FAMILY!r}\n"
        "ManagedProcess(ProcessSpec('part', command, folder / 'part.log', folder / 'part.pid'))\n"
        "time.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", owner_code])
    pids = [*family_pids(spec(tmp_path, FAMILY)), int((tmp_path / "part.pid").read_text())]
    owner.kill()
    owner.wait()
    wait_soon(lambda: all(gone(pid) for pid in pids))


def test_supervisor_starts_a_killed_process_again(tmp_path: Path, supervisor: Supervisor) -> None:
    supervisor.start([spec(tmp_path, SLEEP)])
    wait_soon(lambda: supervisor.pids()["part"])
    first = supervisor.pids()["part"]
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_soon(lambda: supervisor.pids()["part"] not in (None, first))
    assert supervisor.restarts() == {"part": 1}
    assert supervisor.failure is None
    assert "part ended (killed by signal 9)" in supervisor.messages[0]  # type: ignore[attr-defined]


def test_supervisor_gives_up_with_the_last_log_lines_and_stops_the_rest(tmp_path: Path, supervisor: Supervisor) -> None:
    broken = (sys.executable, "-S", "-c", "print('no such model folder'); raise SystemExit(3)")
    supervisor.start([spec(tmp_path, SLEEP, name="sound"), spec(tmp_path, broken, name="broken")])
    wait_soon(lambda: supervisor.pids()["sound"])
    sound = supervisor.pids()["sound"]
    assert sound is not None
    wait_soon(lambda: supervisor.failure)
    failure = str(supervisor.failure)
    assert "broken died 3 times within 60 s, last with exit status 3" in failure
    assert "no such model folder" in failure
    wait_soon(lambda: gone(sound))


def test_a_process_that_is_misconfigured_is_not_started_again(tmp_path: Path, supervisor: Supervisor) -> None:
    code = f"print('no such model folder'); raise SystemExit({os.EX_CONFIG})"
    supervisor.start([spec(tmp_path, (sys.executable, "-S", "-c", code), name="broken")])
    wait_soon(lambda: supervisor.failure)
    assert supervisor.restarts() == {"broken": 1}
    first = str(supervisor.failure).splitlines()[0]
    assert first == "broken cannot work as it is configured: no such model folder"
    assert supervisor.messages == []  # type: ignore[attr-defined]


def test_supervisor_stop_leaves_nothing(tmp_path: Path, supervisor: Supervisor) -> None:
    specs = [spec(tmp_path, FAMILY, name=f"part-{number}") for number in range(3)]
    supervisor.start(specs)
    pids = [pid for one in specs for pid in family_pids(one)]
    supervisor.stop(last=["part-0"])
    assert all(gone(pid) for pid in pids)


def test_a_process_that_dies_of_one_cause_is_given_up_however_slowly(tmp_path: Path) -> None:
    """A model that takes a minute to load never dies five times within one."""
    messages: list[str] = []
    supervisor = Supervisor(messages.append, replace(QUICK, window_seconds=0.0))
    broken = (sys.executable, "-S", "-c", "raise ValueError('no room at ' + str(id(object())))")
    supervisor.start([spec(tmp_path, broken)])
    wait_soon(lambda: supervisor.failure)
    supervisor.stop()
    assert supervisor.restarts() == {"part": 3}
    assert "part died 3 times of one cause" in str(supervisor.failure)
    assert ["ValueError: no room at " in message for message in messages] == [True, True]
    assert "time 2 of 3 before it is given up" in messages[1]


def test_a_reason_is_not_taken_from_an_earlier_life(tmp_path: Path) -> None:
    spoken = (sys.executable, "-S", "-c", "raise ValueError('earlier')")
    silent = (sys.executable, "-S", "-c", "import os; os._exit(1)")
    for command, said in ((spoken, "ValueError: earlier"), (silent, "")):
        process = ManagedProcess(spec(tmp_path, command))
        assert process.wait(10) == 1
        assert process.reason() == said


def test_all_that_a_process_and_its_children_say_is_in_the_log_but_no_flood(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-S', '-c', 'print(\"from a child\")'])\n"
        "for _ in range(100_000): print('again and again', flush=False)\n"
        "print('last words', end='', flush=True)\n"
    )
    process = ManagedProcess(one := spec(tmp_path, (sys.executable, "-S", "-c", code)))
    assert process.wait(30) == 0
    said = one.log_file.read_text().splitlines()
    assert said[0] == "from a child"
    assert said[-2:] == ["last words", "(99980 lines like ones above were left out)"]
    assert len(said) == 23


def test_a_command_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    process = ManagedProcess(spec(tmp_path, (str(tmp_path / "none"),)))
    assert process.wait(10) == os.EX_IOERR
    assert process.log_tail() == f"guard: {tmp_path / 'none'}: No such file or directory"
