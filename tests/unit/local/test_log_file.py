"""Logs of bounded size and without floods, whatever a process says and the disk does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapo.processes.log_file import OLD_FILES, REPEATS, WINDOW_SECONDS, Flood, LogFile, numbered

LIMIT = 1000


def files(log: Path) -> list[Path]:
    return [numbered(log, number) for number in range(OLD_FILES, 0, -1)] + [log]


def text(log: Path) -> bytes:
    return b"".join(file.read_bytes() for file in files(log) if file.exists())


@given(
    lines=st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), unique=True), cut=st.integers(1, 30)
)
def test_different_lines_are_kept_as_they_are_however_they_arrive(
    lines: list[bytes], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "part.log"
    said = b"".join(line + b"\n" for line in lines)
    log = LogFile(path)
    for start in range(0, len(said), cut):
        log.write(said[start : start + cut])
    log.close()
    assert text(path) == said


def test_the_newest_lines_stay_and_the_files_keep_their_limit(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    log = LogFile(path, LIMIT)
    said = [f"line {number} {'x' * 50}\n".encode() for number in range(1000)]
    for line in said:
        log.write(line)
    log.close()
    assert all(file.stat().st_size <= LIMIT for file in files(path))
    assert sorted(tmp_path.iterdir()) == sorted(files(path))
    kept = text(path)
    assert kept == b"".join(said)[-len(kept) :]
    assert len(kept) > LIMIT


def test_a_log_that_was_there_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    for word in (b"first\n", b"second\n"):
        log = LogFile(path)
        log.write(word)
        log.close()
    assert path.read_bytes() == b"first\nsecond\n"


def test_a_repeating_line_is_told_some_times_and_counted(tmp_path: Path) -> None:
    flood = Flood()
    line = b"2026-11-29 10:%02d:%02d,123 WARNING  part: Redis does not answer\n"
    shown = b"".join(flood.admit(line % (0, second), second) for second in range(50))
    assert shown.count(b"\n") == REPEATS
    later = flood.admit(line % (1, 10), WINDOW_SECONDS + 10)
    assert later.startswith(b"(30 lines like ones above were left out)\n2026")
    assert flood.summary() == b""


def test_a_repeating_traceback_does_not_drown_another_line(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    log = LogFile(path, clock=lambda: 0.0)
    for number in range(10_000):
        log.write(b'Traceback (most recent call last):\n  File "a.py", line 3\nValueError: no\n')
        if number == 5_000:
            log.write(b"something else\n")
    log.close()
    kept = path.read_bytes()
    assert kept.count(b"something else\n") == 1
    assert kept.count(b"\n") == 3 * REPEATS + 2
    assert kept.endswith(b"(29940 lines like ones above were left out)\n")


def test_numbers_that_change_are_no_repetition(tmp_path: Path) -> None:
    flood = Flood()
    lines = [b"step %d reward 0.5\n" % number for number in range(200)]
    assert b"".join(flood.admit(line, 0.0) for line in lines) == b"".join(lines)


def test_a_full_disk_loses_lines_and_says_so_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "part.log"
    log = LogFile(path)
    log.write(b"before\n")
    write = os.write

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    log.write(b"during\n")
    monkeypatch.setattr(os, "write", write)
    log.write(b"after\n")
    log.close()
    assert path.read_bytes() == b"before\n(7 bytes of this log could not be written)\nafter\n"
