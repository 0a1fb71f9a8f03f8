"""The HTTP server of a part: its socket, its address, and how it ends.

Invariant: a server that is told to stop answers open requests within the grace period, and the
process goes on to its own end.
"""

from __future__ import annotations

import errno
import signal
import socket
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI

from vapo.startup import StartupError, UnavailableError

GRACE_SECONDS = 5
START_SECONDS = 10.0


def bind(host: str, port: int) -> socket.socket:
    """A listening-ready socket, so that port 0 is known before the server starts.

    Raises:
        UnavailableError: the port is taken.
        StartupError: the address is not this machine's, or not for this user.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _not_bound(host, port, error) from None
    return listener


def _not_bound(host: str, port: int, error: OSError) -> StartupError:
    what = f"cannot bind {host}:{port}: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        return UnavailableError(f"{what}; choose another port or stop what uses it")
    return StartupError(f"{what}; choose an address of this machine and a port from 1024 on")


def bound_url(listener: socket.socket, advertise_host: str | None = None) -> str:
    """URL others reach this listener at: under ``network.advertise_host`` where that is set."""
    host, port = listener.getsockname()[:2]
    if advertise_host is not None:
        host = advertise_host
    elif host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then shut down within the grace period."""
    StoppingServer(_configured(app), app.state.stopping).run(sockets=[listener])


def _configured(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=GRACE_SECONDS
    )


class StoppingServer(uvicorn.Server):
    """Ends on a signal, and the process goes on to its own end.

    Endless responses (event streams) are told before the server waits for them. The signal is not
    raised again afterwards, as uvicorn would: that would end the process before it has left the
    fleet.
    """

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came; the second Ctrl-C does not wait for open responses."""
        self._stopping.set()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


class BackgroundServer:
    """Serves an app from a thread, where the main thread has work of its own and gets the signals."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        self._server = uvicorn.Server(_configured(app))
        self._thread = threading.Thread(
            target=self._server.run, name="http", daemon=True, kwargs={"sockets": [listener]}
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Finish open requests within the grace period."""
        self._server.should_exit = True
        self._thread.join(timeout=GRACE_SECONDS + START_SECONDS)
