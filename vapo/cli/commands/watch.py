"""`vapo watch`: a run as it trains, one aligned line a step, until training ends.

Invariants:
- a first line comes at once: the run, where it stands, its address;
- the status is 0 when the trainer finished, or stopped as it was asked to, and 1 when it failed or
  the run ended before its last step.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vapo.cli.commands.status import doing, ended, headline
from vapo.cli.connection_options import Target, add_connection_options, ask_run, find_target, metrics_of
from vapo.cli.output.progress_line import ProgressLine
from vapo.cli.output.queue_words import describe_failures
from vapo.cli.output.watch_alarms import Alarms
from vapo.cli.output.watch_lines import Lines
from vapo.client import GatewayClient, GatewayError
from vapo.client.event_stream import Event, follow
from vapo.ledger.pace import ROWS
from vapo.local.run_folders.known_runs import Run, look

AWAY_SECONDS = 60.0
LOOK_SECONDS = 5.0
"""Between two looks at failures and parts."""
SLICE_SECONDS = 0.5
PLAIN_SECONDS = 60.0
"""Between two lines on what is going on where there is no terminal to rewrite one."""
GOOD_ENDS = ("finished", "asked to stop")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--from-start", action="store_true", help="begin with the oldest event kept")
    parser.add_argument("--forever", action="store_true", help="go on after the trainer has stopped")
    parser.add_argument("--json", action="store_true", help="print each event as one JSON line")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Follow the run's events until the trainer stops; Ctrl-C ends it."""
    target = find_target(arguments)

    def over(run: Run) -> int:
        print(ended(run))
        return int(run.state != "finished")

    return ask_run(target, lambda client, progress: watch(arguments, target, client, progress), over, PLAIN_SECONDS)


def watch(arguments: argparse.Namespace, target: Target, client: GatewayClient, progress: ProgressLine) -> int:
    """Say where the run stands, then follow it unless it is over; returns the exit status."""
    metrics = metrics_of(client, target)
    history = client.get("/v1/metrics/history", last=ROWS)["metrics"]
    training, from_start = metrics["training"], arguments.from_start
    lines = Lines(history, training["max_steps"], sys.stdout.isatty())
    alarms = Alarms(metrics["depths"]["dead"])
    watcher = Watch(arguments, target, client, progress, lines, alarms, target.expected)
    watcher.say(f"{headline(metrics)}; {target.url}")
    newest_failure = metrics.get("newest_dead_letter")
    for line in describe_failures(newest_failure, metrics["depths"], time.time()):
        watcher.say(line)
    is_over = training["state"] in (*GOOD_ENDS, "failed") and not training["phase"]
    if is_over and not (from_start or arguments.forever):
        return int(training["state"] not in GOOD_ENDS)
    with events_of(target, "0" if from_start else metrics["newest_event"]) as told:
        return watcher.follow(told)


@dataclass
class Watch:
    """One `vapo watch`."""

    arguments: argparse.Namespace
    target: Target
    client: GatewayClient
    progress: ProgressLine
    lines: Lines
    alarms: Alarms
    was_live: bool
    """Whether the run was seen to be kept, here."""

    def follow(self, told: queue.Queue[Event | Exception]) -> int:
        """Tell all that is told; returns the exit status."""
        look_at = time.monotonic() + LOOK_SECONDS
        while True:
            try:
                event = told.get(timeout=SLICE_SECONDS)
            except queue.Empty:
                if self._run_is_over():
                    return self._tell_end()
            else:
                if isinstance(event, Exception):
                    raise event
                self._tell(event)
                status = self._status_after(event)
                if status is not None and not self.arguments.forever:
                    return status
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_SECONDS
                self._look()

    def _tell(self, event: Event) -> None:
        if self.arguments.json:
            fields = {"id": event.id, "event": event.kind, "data": event.data}
            print(json.dumps(fields), flush=True)
            return
        for line in self.lines.of(event):
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line for people; it goes to stderr where stdout is for programs."""
        if self.arguments.json:
            print(line, file=sys.stderr, flush=True)
            return
        self.progress.erase()
        print(line, flush=True)

    def _status_after(self, event: Event) -> int | None:
        """The exit status when the event is the end, else None."""
        if event.kind == "trainer_stopped":
            interrupted = event.data.get("state") == "interrupted"
            return None if interrupted else 0
        if event.kind == "trainer_failed":
            return None if self._is_kept() else 1
        return None

    def _is_kept(self) -> bool:
        """Whether someone is there to start a failed trainer again, or to give it up."""
        return self.target.run is not None and look(self.target.run.folder).live

    def _run_is_over(self) -> bool:
        """Whether a run that was seen to be kept is kept no more."""
        if self.target.run is None:
            return False
        live = look(self.target.run.folder).live
        self.was_live = self.was_live or live
        return self.was_live and not live

    def _tell_end(self) -> int:
        over = self.target.run and look(self.target.run.folder)
        self.say(f"run {over.name} has ended: {over.story}" if over else "the run has ended")
        return int(over is None or over.state != "finished")

    def _look(self) -> None:
        """Say what goes wrong, and on a terminal what is going on."""
        try:
            metrics, fleet = self.client.get("/v1/metrics"), self.client.get("/v1/fleet")
        except GatewayError as error:
            if error.status is not None and error.status < 500:
                raise
            return  # it is away: the stream of events says so when that lasts
        for line in self.alarms.of(metrics, fleet["members"], time.time()):
            self.say(line)
        self.progress.show(f"{doing(metrics)}, {self.lines.standing(metrics)}")


@contextmanager
def events_of(target: Target, after: str) -> Iterator[queue.Queue[Event | Exception]]:
    """The run's events after an id as they come, in a queue that a thread of its own fills; last
    the error that ended them.
    """
    told: queue.Queue[Event | Exception] = queue.Queue()
    ended = threading.Event()

    def read() -> None:
        try:
            with GatewayClient(target.url, target.token) as client:
                for event in follow(client, after, AWAY_SECONDS, ended.is_set):
                    told.put(event)
        except Exception as error:  # raised where the queue is read
            told.put(error)

    threading.Thread(target=read, name="events", daemon=True).start()
    try:
        yield told
    finally:
        ended.set()
