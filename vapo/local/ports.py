"""Free TCP ports on loopback.

Invariant: of the stacks and tests on a machine no two choose the same port at about the same time. Who
chooses one claims it by a name without a file (an abstract Unix socket, Linux alone), which ends with the process.
"""

from __future__ import annotations

import errno
import random
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

FIRST, LAST = 20_000, 32_767
"""Below the range from which Linux takes the near end of outgoing connections (32768 to 60999): a
part binds its port seconds after it was chosen, and meanwhile nobody's connection may sit on it."""

KEPT_CLAIMS = 128
"""More than a stack chooses, fewer than a process may have files open."""
_claims: deque[socket.socket] = deque()


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` different ports free at this moment; none when `count` is 0 or less.

    No other process is given them until this one has chosen `KEPT_CLAIMS` more. A server that asks
    nobody may still take one before it is used; what binds it then fails, is restarted or says so.

    Raises:
        OSError: fewer ports are free between `FIRST` and `LAST`.
    """
    candidates = range(FIRST, LAST + 1)
    found: list[int] = []
    with ExitStack() as held:
        for port in random.SystemRandom().sample(candidates, len(candidates)):
            if len(found) >= count:
                break
            if _hold(held.enter_context(socket.socket()), host, port) and _keep_claim(port):
                found.append(port)
    if len(found) < count:
        raise OSError(f"{host} has fewer than {count} free ports between {FIRST} and {LAST}")
    return found


def _keep_claim(port: int) -> bool:
    claim = socket.socket(socket.AF_UNIX)
    if not _claim(claim, port):
        claim.close()
        return False
    if len(_claims) == KEPT_CLAIMS:
        _claims.popleft().close()
    _claims.append(claim)
    return True


def _claim(claim: socket.socket, port: int) -> bool:
    try:
        claim.bind(f"\0vapo-port-{port}")
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


def _hold(one: socket.socket, host: str, port: int) -> bool:
    try:
        one.bind((host, port))
    except OSError:
        return False
    return True


def is_free(host: str, port: int) -> bool:
    """Whether nobody has `port` at `host` at this moment; an address that cannot be bound for
    another reason is for its part to name.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


@contextmanager
def claimed(port: int) -> Iterator[bool]:
    """Whether `port` is for this stack, as far as stacks on this machine are concerned: from the
    first that asks it is kept from the others, until the context ends or the process dies. A part
    binds its port seconds after it was chosen; meanwhile `is_free` says the same to all.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        yield _claim(claim, port)
