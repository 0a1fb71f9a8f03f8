"""Carrying out the runs of a study, several at a time, each in a process of its own.

Invariants: a run that is finished is never repeated; Ctrl-C ends all processes and loses only the
runs under way; a run that fails names itself and stops the study.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from lab.study.base import BaseRecipe, load_base
from lab.study.configuration import Configuration
from lab.study.run import RunResult, run
from lab.study.store import Runs, run_name, save

Job = tuple[str, Configuration]
"""Name of the regime, for people, and the run."""
Finished = tuple[Job, RunResult]


def carry_out(
    jobs: Sequence[Job],
    runs: Runs,
    bases: Path,
    processes: int,
    report: Callable[[str], None] = print,
    deadline: Callable[[], bool] = lambda: False,
) -> bool:
    """Run all jobs that have no result yet.

    Args:
        jobs: runs in the order wanted.
        runs: finished runs, where results are kept; two studies that share a run share its record.
        bases: folder of base models.
        processes: runs at a time; 1 runs them in this process.
        report: receives progress lines.
        deadline: no further run is started once it says True.

    Returns:
        Whether all jobs have a result now.
    """
    finished_before = runs.names
    waiting = [job for job in jobs if run_name(job[1]) not in finished_before]
    report(f"{len(jobs)} runs, {len(jobs) - len(waiting)} of them finished before")
    if not deadline():
        _make_bases(waiting, bases, report)
    finished = _in_turn if processes == 1 else partial(_side_by_side, processes)
    count = 0
    for job, result in finished(waiting, runs.folder, bases, deadline):
        count += 1
        report(_line(job, result, count, len(waiting)))
    return count == len(waiting)


def _make_bases(jobs: Sequence[Job], bases: Path, report: Callable[[str], None]) -> None:
    """Before processes start, so that no two make the same one."""
    for task, steps in dict.fromkeys((job.regime.task, job.regime.base_steps) for _, job in jobs):
        report(f"base model for {task}")
        load_base(task, BaseRecipe(steps), bases)


def _in_turn(jobs: Sequence[Job], folder: Path, bases: Path, deadline: Callable[[], bool]) -> Iterator[Finished]:
    for job in jobs:
        if deadline():
            return
        yield job, _run_and_save(job, folder, bases)


def _side_by_side(
    processes: int, jobs: Sequence[Job], folder: Path, bases: Path, deadline: Callable[[], bool]
) -> Iterator[Finished]:
    waiting = deque(jobs)
    running: dict[Future[RunResult], Job] = {}
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _prepare_process)
    try:
        while True:
            while waiting and len(running) < processes and not deadline():
                job = waiting.popleft()
                running[pool.submit(_run_and_save, job, folder, bases)] = job
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        _stop(pool)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the pool at once; results are written whole or not at all, so nothing is torn."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(cancel_futures=True)


def _run_and_save(job: Job, folder: Path, bases: Path) -> RunResult:
    regime, configuration = job
    try:
        result = run(configuration, bases)
    except Exception as error:
        raise RuntimeError(
            f"run {regime}/{configuration.variant}, seed {configuration.seed}, failed: {error}"
        ) from error
    save(folder, configuration, result)
    return result


def _line(job: Job, result: RunResult, count: int, total: int) -> str:
    regime, configuration = job
    return (
        f"[{count}/{total}] {regime}  {configuration.variant:<28} seed {configuration.seed}  "
        f"accuracy {result.accuracy:.3f}  {result.seconds:.0f} s"
    )


def _prepare_process() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
