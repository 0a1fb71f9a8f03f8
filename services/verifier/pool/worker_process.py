"""A worker: ``python -m services.verifier.pool.worker_process PARENT_PID MEMORY_MIB SECONDS MAKER``.

Judges one message after the other on stdin, or looks for a pattern in a text, and answers on stdout
until stdin ends. MAKER (``module:function``) makes a verifier of a name and options. The worker is
started and killed by :mod:`services.verifier.pool.pool`.

Invariants:
- it dies with its parent, also while it computes;
- it can neither allocate beyond its limit, nor write files, nor leave a core dump, nor reach the
  network, nor start a program;
- it interrupts itself after SECONDS where it can, and stays of use; the parent kills it later;
- each judgement is announced by ``{"reference": "ok"}`` once the reference alone has been worked
  through, so that the parent knows whose fault a hang is.
"""

from __future__ import annotations

import os
import re
import sys
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any, BinaryIO, cast

from services.verifier.judgement import MathVerifier
from services.verifier.judgement.verdicts import Fault, Judgement, Outcome, ReferenceFault, Verifier, reference_fault
from services.verifier.pool import pipe_messages
from services.verifier.pool.confinement import confine
from services.verifier.pool.soft_limit import OutOfTime, limited
from vapo.processes.child import belong_to, limit_resources, silence


def main(arguments: list[str]) -> int:
    """Serve until the parent closes the pipe."""
    parent, memory_mib, seconds, maker = int(arguments[0]), int(arguments[1]), float(arguments[2]), arguments[3]
    belong_to(parent)
    # Results leave by a private descriptor: a stray print must not break the protocol.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _warm_up()
    resolve_name(maker)
    limit_resources(memory_mib)
    silence()
    confine()
    _send(replies, {"ready": True})
    while (message := _receive(sys.stdin.buffer)) is not None:
        if "pattern" in message:
            _send(replies, {"found": _search(message, seconds)})
        else:
            _send(replies, {"judgement": _judge(message, maker, replies, seconds).as_dict()})
    return 0


def _warm_up() -> None:
    """Import sympy and build the parser's tables, so that no judgement pays for it."""
    MathVerifier().check_reference(r"\frac{x}{2}")


def _search(message: dict[str, Any], seconds: float) -> bool | None:
    """Whether the text holds the pattern; None where that takes longer than ``seconds``."""
    pattern, text = str(message["pattern"]), str(message["text"])
    try:
        return limited(seconds, lambda: re.search(pattern, text, re.DOTALL) is not None)
    except OutOfTime:
        return None


def _judge(message: dict[str, Any], maker: str, replies: BinaryIO, seconds: float) -> Judgement:
    """The judgement within ``seconds``, and whose fault it is if there is none."""
    fault = Fault.REFERENCE

    def work() -> Judgement:
        nonlocal fault
        verifier = _verifier(maker, str(message["verifier"]), tuple(message["rules"]))
        verifier.check_reference(str(message["reference"]))
        fault = Fault.RESPONSE
        _send(replies, {"reference": "ok"})
        return verifier.judge(str(message["response"]), str(message["reference"]))

    try:
        return limited(seconds, work)
    except OutOfTime:
        subject = "comparing the answer" if fault is Fault.RESPONSE else "reading the reference"
        reason = f"{subject} took longer than {seconds:g} s"
        return Judgement(Outcome.TIMEOUT, reason, fault=fault)
    except ReferenceFault as unfit:
        return reference_fault(str(unfit))
    except MemoryError:
        os._exit(pipe_messages.MEMORY_STATUS)  # the announcement tells the parent whose fault it is
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:300]
        return Judgement(Outcome.ERROR, reason, fault=Fault.VERIFIER)


@lru_cache(maxsize=16)
def _verifier(maker: str, name: str, rules: tuple[str, ...]) -> Verifier:
    return cast(Verifier, resolve_name(maker)(name, {"rules": rules}))


def _receive(stream: BinaryIO) -> dict[str, Any] | None:
    header = stream.read(pipe_messages.LENGTH.size)
    if len(header) < pipe_messages.LENGTH.size:
        return None
    return pipe_messages.decode(stream.read(pipe_messages.body_length(header)))


def _send(stream: BinaryIO, message: dict[str, Any]) -> None:
    stream.write(pipe_messages.encode(message))
    stream.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
