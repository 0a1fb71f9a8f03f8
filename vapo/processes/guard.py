"""Runs one command, keeps its log, and outlives it only long enough to leave nothing of it behind;
standard library only.

    guard --grace SECONDS --pid-file FILE --log FILE -- COMMAND ARGUMENT ...

Invariants:
- the guard's standard input is a pipe whose other end its owner holds open; when the owner dies,
  even by SIGKILL, the pipe ends and the guard stops the command;
- the command runs in a process group of its own, whose number is in FILE, and is killed if the
  guard dies (Linux);
- before the guard exits, every descendant of the command is dead, those that changed their group or
  lost their parent included (Linux; elsewhere the group), and all they have said is in the log.

SIGTERM: pass SIGTERM to the command, kill it after the grace period. SIGINT: kill it at once. A
SIGHUP that is ignored, as under nohup, stays ignored. Exit status: the command's, or 128 + the
number of the signal that ended it; 74, `EX_IOERR`, when it cannot be started or its process id be
written.

A program between owner and command, rather than a function run between fork and exec in the owner,
because the owner has threads, where such functions can deadlock.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from vapo.processes.child import PR_SET_CHILD_SUBREAPER, die_with, set_process_option
from vapo.processes.log_file import LogFile

OWNER_PIPE = 0
PIECE_BYTES, PIECES = 2**16, 16


def main() -> int:
    """Guard the command named in `sys.argv`; returns the exit status."""
    arguments = parse(sys.argv[1:])
    wake = catch_signals()
    set_process_option(PR_SET_CHILD_SUBREAPER, 1)
    log = LogFile(Path(arguments.log))
    try:
        status = run(arguments, wake, log)
    except OSError as error:
        log.write(f"guard: {error.filename}: {error.strerror}\n".encode(errors="surrogateescape"))
        status = os.EX_IOERR
    finally:
        log.close()
    return status if status >= 0 else 128 - status


def run(arguments: argparse.Namespace, wake: int, log: LogFile) -> int:
    """Start the command and see it to its end; returns its status as `subprocess` gives it.

    Raises:
        OSError: it cannot be started, or its process id cannot be written.
    """
    output, child = start(arguments.command)
    try:
        Path(arguments.pid_file).write_text(f"{child.pid}\n", encoding="ascii")
        return watch(child, wake, arguments.grace, output, log)
    finally:
        kill_group(child.pid)
        kill_orphans()
        while keep_log(output, log) == PIECES:
            pass


def parse(words: list[str]) -> argparse.Namespace:
    """The guard's own options and the command after `--`."""
    parser = argparse.ArgumentParser(prog="guard")
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--pid-file", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("command", nargs="+")
    return parser.parse_args(words)


def catch_signals() -> int:
    """Have signals arrive as bytes (their numbers) on the returned descriptor."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    return reading


def start(command: list[str]) -> tuple[int, subprocess.Popen[bytes]]:
    """The command in its own process group, without the owner's pipe, to die with this
    single-threaded guard; and the descriptor on which its output comes.
    """
    guard = os.getpid()
    output, writing = os.pipe()
    os.set_blocking(output, False)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        process_group=0,
        preexec_fn=lambda: die_with(guard),
    )
    os.close(writing)
    return output, child


def watch(child: subprocess.Popen[bytes], wake: int, grace: float, output: int, log: LogFile) -> int:
    """Wait for the command to end, stopping it when asked to; returns its status as `subprocess`
    gives it.
    """
    deadline: float | None = None
    listening = [wake, OWNER_PIPE, output]
    while child.poll() is None:
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(listening, [], [], remaining)
        signals = read_signals(wake) if wake in ready else b""
        if output in ready and keep_log(output, log) == 0:
            listening.remove(output)
        owner_gone = OWNER_PIPE in ready and not os.read(OWNER_PIPE, 1)
        if owner_gone:
            listening.remove(OWNER_PIPE)
        if deadline is None and (owner_gone or signal.SIGTERM in signals or signal.SIGHUP in signals):
            child.terminate()
            deadline = time.monotonic() + grace
        if signal.SIGINT in signals or (deadline is not None and time.monotonic() >= deadline):
            kill_group(child.pid)
            return child.wait()
    return child.returncode


def keep_log(output: int, log: LogFile) -> int:
    """Write what has come, a bounded amount; returns how many reads had an answer: 0 when nothing
    can come any more.
    """
    for number in range(PIECES):
        try:
            piece = os.read(output, PIECE_BYTES)
        except BlockingIOError:
            return max(1, number)
        if not piece:
            return number
        log.write(piece)
    return PIECES


def read_signals(wake: int) -> bytes:
    """The numbers of the signals that came since the last look."""
    try:
        return os.read(wake, 1024)
    except BlockingIOError:
        return b""


def kill_group(group: int) -> None:
    """SIGKILL to what is left of the command's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def kill_orphans() -> None:
    """Kill and reap what fell to this subreaper, until no child is left."""
    while True:
        for orphan in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children() -> list[int]:
    """This process's children, as the kernel lists them; none where it does not."""
    try:
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(number) for number in listed.split()]
