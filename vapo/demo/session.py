"""One session of a demo run: from a started stack to a measured lift, or to Ctrl-C.

    feed      upload held-out and training problems, ask for the evaluation before
    train     value pretraining, then reinforcement learning until its budget is spent; the
              evaluation before runs at the same time as value pretraining, which leaves the policy
              as it is; small evaluations on the way draw the accuracy curve
    finish    stop the trainer, wait for its last weights, evaluate after

Invariant: every call may be repeated, so a session that is interrupted anywhere is taken up by the
next one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vapo.client import GatewayClient
from vapo.demo import evaluation, feed, problems
from vapo.demo.clock import TrainingClock
from vapo.demo.metrics_rows import MetricsRows, rows_so_far
from vapo.demo.progress import Snapshot
from vapo.demo.settings import DemoOptions
from vapo.demo.state import CurvePoint, DemoState
from vapo.ledger.steps import step_of_version
from vapo.local.stack import Stack

if TYPE_CHECKING:
    from vapo.demo.display import Display  # draws with an optional package

POLL_SECONDS = 1.0
STOP_DEADLINE_SECONDS = 120.0
WEIGHTS_DEADLINE_SECONDS = 60.0
EVALUATION_DEADLINE_SECONDS = 300.0
FINISH_ESTIMATE_SECONDS = 20.0
BEGIN_ESTIMATE_SECONDS = 80.0
BEFORE, AFTER = "before", "after"


class DemoError(RuntimeError):
    """The demo cannot go on; the text says which wait was too long and where to look."""


@dataclass
class Session:
    """Everything one session works with."""

    stack: Stack
    client: GatewayClient
    display: Display
    options: DemoOptions
    state: DemoState
    opened_at: float
    """Monotonic time at which the session began, the start of the stack included."""

    def __post_init__(self) -> None:
        self._seconds_before = self.state.seconds
        self._clock = TrainingClock(self.state.rl_seconds)
        self._curve_due = 0.0
        self._fed_at = time.monotonic()

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.stack.folder.directory

    def run(self) -> None:
        """Do what is left of the demo."""
        self._feed()
        if not self.state.trained:
            self._train()
        self._measure_after()
        self._save()

    # Feed ------------------------------------------------------------------------------------

    def _feed(self) -> None:
        self.client.post("/v1/control/resume")
        feed.send_held_out(self.client, self.options)
        evaluation.ask(self.client, BEFORE, self.options.samples)
        if not self.state.trained:
            feed.send_training(self.client, self.options)
        self._fed_at = time.monotonic()

    # Train -----------------------------------------------------------------------------------

    def _train(self) -> None:
        self._spend_budget()
        self._end_training()

    def _spend_budget(self) -> None:
        while self._trainer_has_work():
            self.stack.check()
            metrics, rows = self.client.get("/v1/metrics"), rows_so_far(self.folder)
            self._note_start_of_training(metrics)
            self._measure_before()
            self._measure_on_the_way(rows)
            self._show("reinforcement learning" if rows.training else "value pretraining", rows, metrics)
            self._save()
            time.sleep(POLL_SECONDS)
        self.stack.check()

    def _trainer_has_work(self) -> bool:
        budget_left = self._clock.seconds(time.monotonic()) < self.options.rl_seconds
        return budget_left and self.stack.trains

    def _note_start_of_training(self, metrics: dict[str, Any]) -> None:
        settings = self.stack.settings
        pretrains = settings.value_pretraining.enabled and settings.algorithm.estimator == "gae"
        if self._clock.started is None and (metrics["weight_version"] > 0 or not pretrains):
            self._clock.start(time.monotonic())
            if self._seconds_before == 0.0:
                self.state.value_pretraining_seconds = time.monotonic() - self._fed_at

    def _measure_before(self) -> None:
        if self.state.before is None:
            self.state.before = evaluation.result(self.client, BEFORE)
            if self.state.before:
                self.display.say(f"held-out accuracy before: {self.state.before.accuracy:.3f}")

    def _measure_on_the_way(self, rows: MetricsRows) -> None:
        """Collect the small evaluation that was asked for last, or ask for the next one."""
        if self._clock.started is None:
            return
        if len(self.state.curve) < self.state.curve_asked:
            self._collect_curve_point()
        elif time.monotonic() >= self._curve_due and rows.step:
            self._curve_due = time.monotonic() + self.options.curve_every_seconds
            held_out = problems.held_out_rows(self.options)[: self.options.curve_problems]
            evaluation.ask(self.client, self._curve_id(self.state.curve_asked), 1, held_out)
            self.state.curve_asked += 1

    def _collect_curve_point(self) -> None:
        name = self._curve_id(len(self.state.curve))
        summary = evaluation.progress(self.client, name)
        if evaluation.scored(summary):
            step = step_of_version(rows_so_far(self.folder).training, summary["newest_weight_version"])
            self.state.curve.append(CurvePoint(step, summary["avg_at_k"]))

    def _curve_id(self, number: int) -> str:
        return f"during-{number}"

    def _end_training(self) -> None:
        """The trainer writes a checkpoint and ends; nothing more is admitted meanwhile."""
        self.client.post("/v1/control/pause")
        self.client.post("/v1/control/stop")
        deadline = time.monotonic() + STOP_DEADLINE_SECONDS
        while self.stack.trains:
            self._wait("writing the checkpoint", deadline, STOP_DEADLINE_SECONDS)
        self.state.trained = True  # not before: what is not in the checkpoint is trained again
        self.state.rl_seconds = self._clock.seconds(time.monotonic())
        self._save()

    # Finish ----------------------------------------------------------------------------------

    def _measure_after(self) -> None:
        deadline = time.monotonic() + WEIGHTS_DEADLINE_SECONDS
        while not self._last_weights_are_loaded():
            self._wait("loading the last weights", deadline, WEIGHTS_DEADLINE_SECONDS)
        evaluation.ask(self.client, AFTER, self.options.samples)
        deadline = time.monotonic() + EVALUATION_DEADLINE_SECONDS
        while self.state.before is None or self.state.after is None:
            self._measure_before()
            self.state.after = evaluation.result(self.client, AFTER)
            if self.state.before is None or self.state.after is None:
                self._wait("evaluating", deadline, EVALUATION_DEADLINE_SECONDS)

    def _last_weights_are_loaded(self) -> bool:
        weights = self.client.get("/v1/weights")
        return any(
            member["part"] == "generator"
            and member["state"] == "READY"
            and member["weight_version"] == weights["newest_version"]
            for member in weights["members"]
        )

    def _wait(self, phase: str, deadline: float, seconds: float) -> None:
        self.stack.check()
        if time.monotonic() > deadline:
            raise DemoError(f"{phase} took more than {seconds:.0f} s; see the logs in {self.folder / 'logs'}")
        self._show(phase, rows_so_far(self.folder), self.client.get("/v1/metrics"))
        time.sleep(POLL_SECONDS)

    # Tell ------------------------------------------------------------------------------------

    def _show(self, phase: str, rows: MetricsRows, metrics: dict[str, Any]) -> None:
        state = self.state
        newest = state.curve[-1] if state.curve else None
        self.display.show(
            Snapshot(
                phase=phase,
                elapsed=self._seconds_before + time.monotonic() - self.opened_at,
                left=self._seconds_left(),
                step=rows.step,
                row=rows.newest,
                accuracy_before=state.before.accuracy if state.before else None,
                accuracy=newest.accuracy if newest else None,
                accuracy_step=newest.step if newest else 0,
                depths=metrics["depths"],
            )
        )

    def _seconds_left(self) -> float:
        if self.state.trained:
            return FINISH_ESTIMATE_SECONDS
        budget_left = max(0.0, self.options.rl_seconds - self._clock.seconds(time.monotonic()))
        pretraining = 0.0 if self._clock.started else BEGIN_ESTIMATE_SECONDS
        return budget_left + pretraining + FINISH_ESTIMATE_SECONDS

    def _save(self) -> None:
        now = time.monotonic()
        self.state.seconds = self._seconds_before + now - self.opened_at
        if not self.state.trained:
            self.state.rl_seconds = self._clock.seconds(now)
        self.state.save(self.folder)
