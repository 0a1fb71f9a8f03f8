"""Worker processes of the verifier: real processes, hostile input."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from services.verifier.judgement.verdicts import Fault, Outcome
from services.verifier.pool import Pool, PoolError
from services.verifier.pool.pool import MAXIMUM_SEARCHED_CHARACTERS
from services.verifier.registry import MAKER
from tests.support.liveness import alive
from vapo.settings import VerifierSettings

ROOT = Path(__file__).resolve().parents[3]
BOX = ("boxed",)
TIME_LIMIT = 2.0
SLOW_ANSWERS = [r"\boxed{\int_0^{\pi} \sin(x^5) e^{x^7} dx}", r"\boxed{x+(3^{99999})^{99999}}"]
REFUSED_ANSWERS = [
    r"\boxed{9^{9^9}}",
    r"\boxed{\sum_{k=1}^{99999} \frac{1}{k^3}}",
    r"\boxed{\binom{9999999}{99999}}",
    r"\boxed{99999999!}",
]

GREEDY_VERIFIER = """
import ctypes
import socket
import subprocess

ctypes_socket = ctypes.CDLL(None).socket
from services.verifier.judgement.verdicts import Judgement, Outcome


def reach_out(way):
    if "socket" in way:
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    if "raw call" in way:
        if ctypes_socket(2, 1, 0) < 0:
            raise PermissionError("refused by the kernel")
    if "program" in way:
        subprocess.run(["true"])
    if "endless loop in C" in way:
        sum(range(10**15))
    if way.startswith("file "):
        with open(way.removeprefix("file "), "wb", buffering=0) as file:
            file.write(b"x")


class Greedy:
    def judge_cheaply(self, response, reference):
        return None

    def check_reference(self, reference):
        if "all memory" in reference:
            bytearray(2**30)

    def judge(self, response, reference):
        self.check_reference(response)
        reach_out(response)
        return Judgement(Outcome.CORRECT, "kept to its limits")


def create(options):
    return Greedy()
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    settings = VerifierSettings(workers=1, time_limit_seconds=TIME_LIMIT, memory_limit_mib=512)
    with Pool(settings, MAKER) as running:
        running.judge("math", BOX, r"\boxed{x}", "x+0")
        yield running


@pytest.mark.parametrize("response", SLOW_ANSWERS)
def test_a_hang_over_the_answer_is_cut_off_and_is_the_responses_fault(pool: Pool, response: str) -> None:
    judgement = pool.judge("math", BOX, response, r"\sqrt{3}")
    assert (judgement.outcome, judgement.fault) == (Outcome.TIMEOUT, Fault.RESPONSE)


def test_a_hang_over_the_reference_is_the_tasks_fault(pool: Pool) -> None:
    judgement = pool.judge("math", BOX, r"\boxed{3x}", r"\int_0^{\pi} \sin(x^5) e^{x^7} dx")
    assert (judgement.outcome, judgement.fault) == (Outcome.TIMEOUT, Fault.REFERENCE)


@pytest.mark.parametrize(
    "response",
    [
        "\ud800\x00\u202e" + r"\boxed{\ud800 x}",
        "{" * 10**6,
        r"\boxed{" * 10**5 + "}" * 10**5,
        r"\boxed{" + "x+" * 5_000_000 + "x}",
        r"\boxed{9^{9^{9^{9^9}}}}",
        r"\boxed{__import__('os').system('touch hacked')}",
    ],
)
def test_hostile_text_gets_a_verdict_within_the_limit(pool: Pool, response: str) -> None:
    started = time.monotonic()
    judgement = pool.judge("math", BOX, response, "x^2+1")
    assert judgement.outcome in (Outcome.WRONG, Outcome.NO_ANSWER)
    assert time.monotonic() - started < TIME_LIMIT + 5
    assert not (ROOT / "hacked").exists()


def test_a_pattern_that_matches_for_ever_is_given_up_and_the_next_search_is_right(pool: Pool) -> None:
    endless = {r"^(a+)+$": "a" * 60 + "!", r"^(x|x)*y$": "x" * 60, r"(.*,){30}z": ",a" * 90}
    for pattern, text in endless.items():
        assert pool.search(pattern, text) is None
        assert pool.search(pattern, "a" * 10) is pattern.startswith("^(a")
    assert pool.search("^<think>.*</think>", "<think>\n1\n</think> 2 \ud800") is True
    assert pool.search("a", "b" * (MAXIMUM_SEARCHED_CHARACTERS + 1)) is None
    assert pool.judge("math", BOX, r"\boxed{1+x}", "x+1").outcome is Outcome.CORRECT


def test_the_next_judgement_after_a_kill_is_right(pool: Pool) -> None:
    assert pool.judge("math", BOX, SLOW_ANSWERS[0], r"\sqrt{3}").outcome is Outcome.TIMEOUT
    assert pool.judge("math", BOX, r"\boxed{1+x}", "x+1").outcome is Outcome.CORRECT


def test_a_worker_killed_from_outside_harms_no_judgement(pool: Pool) -> None:
    with ThreadPoolExecutor(1) as threads:
        judgements = threads.submit(
            lambda: [pool.judge("math", BOX, rf"\boxed{{x+{k}}}", f"{k}+x") for k in range(1, 60)]
        )
        for process_id in pool.process_ids():
            psutil.Process(process_id).kill()
        outcomes = {judgement.outcome for judgement in judgements.result(timeout=60)}
    assert outcomes == {Outcome.CORRECT}


def test_a_slow_judgement_does_not_hold_up_another_worker() -> None:
    settings = VerifierSettings(workers=2, time_limit_seconds=3.0, memory_limit_mib=512)
    with Pool(settings, MAKER) as pool, ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: pool.judge("math", BOX, r"\boxed{x}", "x+0"), range(2)))
        slow = threads.submit(pool.judge, "math", BOX, SLOW_ANSWERS[0], r"\sqrt{3}")
        quick = [pool.judge("math", BOX, r"\boxed{1+x}", "x+1") for _ in range(5)]
        assert not slow.done()
        assert {judgement.outcome for judgement in quick} == {Outcome.CORRECT}
        assert slow.result().outcome is Outcome.TIMEOUT


@pytest.fixture
def installed_verifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with a verifier of its own, found through its entry point."""
    (tmp_path / "greedy.py").write_text(GREEDY_VERIFIER)
    information = tmp_path / "greedy-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: greedy\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[vapo.verifiers]\ngreedy = greedy:create\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed_verifier")
def test_an_installed_verifier_runs_under_the_memory_limit() -> None:
    with Pool(VerifierSettings(workers=1, memory_limit_mib=256), MAKER) as pool:
        judgement = pool.judge("greedy", BOX, "response", "fine")
        assert (judgement.outcome, judgement.reason) == (Outcome.CORRECT, "kept to its limits")
        judgement = pool.judge("greedy", BOX, "take all memory", "fine")
        assert (judgement.outcome, judgement.fault) == (Outcome.ERROR, Fault.RESPONSE)
        judgement = pool.judge("greedy", BOX, "response", "take all memory")
        assert (judgement.outcome, judgement.fault) == (Outcome.ERROR, Fault.REFERENCE)
        assert pool.judge("math", BOX, r"\boxed{1+x}", "x+1").outcome is Outcome.CORRECT


@pytest.mark.usefixtures("installed_verifier")
def test_a_worker_reaches_neither_network_nor_programs_nor_files(tmp_path: Path) -> None:
    with Pool(VerifierSettings(workers=1), MAKER) as pool:
        for way in "socket", "raw call", "program", f"file {tmp_path / 'written'}":
            judgement = pool.judge("greedy", BOX, way, "fine")
            assert (judgement.outcome, judgement.fault) == (Outcome.ERROR, Fault.VERIFIER), way
            assert "Permission" in judgement.reason or "too large" in judgement.reason, judgement
        assert pool.judge("greedy", BOX, "nothing bad", "fine").outcome is Outcome.CORRECT


@pytest.mark.parametrize("response", REFUSED_ANSWERS)
def test_what_could_only_hang_is_refused_at_once(pool: Pool, response: str) -> None:
    replaced = pool.replaced
    assert pool.judge("math", BOX, response, r"\sqrt{3}").outcome is Outcome.WRONG
    assert pool.replaced == replaced


@pytest.mark.usefixtures("installed_verifier")
def test_a_worker_is_killed_only_when_it_cannot_be_interrupted() -> None:
    with Pool(VerifierSettings(workers=1, time_limit_seconds=TIME_LIMIT), MAKER) as pool:
        assert pool.judge("math", BOX, SLOW_ANSWERS[0], r"\sqrt{3}").outcome is Outcome.TIMEOUT
        assert pool.replaced == 0
        judgement = pool.judge("greedy", BOX, "endless loop in C", "fine")
        assert (judgement.outcome, judgement.fault) == (Outcome.TIMEOUT, Fault.RESPONSE)
        assert pool.replaced == 1


def test_closing_leaves_no_process_and_later_calls_are_refused() -> None:
    pool = Pool(VerifierSettings(workers=1), MAKER)
    pool.judge("math", BOX, r"\boxed{x}", "x+0")
    processes = [psutil.Process(process_id) for process_id in pool.process_ids()]
    assert processes
    pool.close()
    assert not any(alive(process) for process in processes)
    with pytest.raises(PoolError):
        pool.judge("math", BOX, r"\boxed{x}", "x+0")


def test_workers_hold_no_secret_and_die_with_a_killed_parent() -> None:
    code = (
        "import time\n"
        "from services.verifier.pool import Pool\n"
        "from services.verifier.registry import MAKER\n"
        "from vapo.settings import VerifierSettings\n"
        "pool = Pool(VerifierSettings(workers=1), MAKER)\n"
        "pool.judge('math', ('boxed',), r'\\boxed{x}', 'x+0')\n"
        "print(pool.process_ids()[0], flush=True)\n"
        "pool.judge('math', ('boxed',), r'\\boxed{\\int_0^9 \\sin(x^5) e^{x^7} dx}', 'x+0')\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        env={**os.environ, "VAPO__SECURITY__ADMIN_TOKEN": "a-secret-of-the-service"},
    )
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    assert "a-secret-of-the-service" not in worker.environ().values()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone, _ = psutil.wait_procs([worker], timeout=5)
    assert gone
