"""A whole demo run: start the stack, do a session, draw and tell what came of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from vapo.client import of_run
from vapo.demo.display import Display
from vapo.demo.metrics_rows import rows_so_far
from vapo.demo.plot import draw
from vapo.demo.progress import Snapshot
from vapo.demo.session import BEGIN_ESTIMATE_SECONDS, FINISH_ESTIMATE_SECONDS, Session
from vapo.demo.settings import DemoOptions
from vapo.demo.state import DemoState
from vapo.demo.summary import outcome, text
from vapo.local.stack import running_stack
from vapo.settings import Settings

GATEWAY_PATIENCE_SECONDS = 90.0
"""A gateway or a Redis that was killed is started again and reloads within this time."""
PLOT_FILE = "curves.png"


def run_session(settings: Settings, options: DemoOptions, state: DemoState, display: Display) -> None:
    """Take the run up where its state says it is, and go on to its end.

    Raises:
        StackError, NotReadyError, RedisServerError, RunFolderError: the stack does not run.
        GatewayError, DemoError: a part does not do what it should in time.
        KeyboardInterrupt: Ctrl-C or SIGTERM; everything is stopped and the state is kept.
    """
    opened_at = time.monotonic()
    left = state.rl_seconds - options.rl_seconds
    estimate = BEGIN_ESTIMATE_SECONDS + FINISH_ESTIMATE_SECONDS - left
    without = frozenset({"trainer", "value"}) if state.trained else frozenset[str]()
    with running_stack(settings, display.say, without=without) as stack:
        display.say(f"dashboard: {stack.gateway_url}   run folder: {stack.folder.directory}")
        display.show(Snapshot("starting all parts", state.seconds, estimate))
        took = stack.wait_ready()
        display.say("ready: " + ", ".join(f"{part} {took[part]:.0f} s" for part in sorted(took)))
        if state.seconds == 0.0:
            state.startup_seconds = time.monotonic() - opened_at
        with of_run(stack.folder, GATEWAY_PATIENCE_SECONDS) as client, stack.troubles_told(display.say):
            Session(stack, client, display, options, state, opened_at).run()


def conclude(state: DemoState, folder: Path) -> tuple[str, dict[str, Any]]:
    """Draw the plot of a finished run; returns the summary and the outcome."""
    rows = rows_so_far(folder)
    plot = folder / PLOT_FILE
    draw(rows.training, state, plot)
    found = outcome(state, rows, folder)
    return text(state, found, plot, newest_checkpoint(folder)), found | {"plot": str(plot)}


def newest_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint folder of the run, or None."""
    found = [path for path in (folder / "checkpoints").glob("*") if path.is_dir()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
