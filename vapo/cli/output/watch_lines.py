"""The events of a run as lines of `vapo watch`, short enough for a terminal of 80 columns.

Invariant: a training step is one line under fixed headings; weights and their versions are a column
of it, not lines of their own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from vapo.cli.output.evaluation_words import LARGE_SHARE_CUT
from vapo.cli.output.queue_words import one_line
from vapo.cli.output.table import figure
from vapo.client.event_stream import Event
from vapo.ledger.pace import ROWS, seconds_left, words
from vapo.local.run_folders.known_runs import steps

COLUMNS = (
    ("step", 7),
    ("reward", 6),
    ("acc", 5),
    ("length", 6),
    ("cut", 4),
    ("entropy", 7),
    ("expl.var", 8),
    ("tok/s", 5),
    ("vers.", 5),
    ("left", 7),
)
HEADING = "time      " + " ".join(name.rjust(width) for name, width in COLUMNS)
HEADING_EVERY = 25
"""Lines between two headings on a terminal; elsewhere there is one."""
ALL_CUT = 0.9
ENDS = {"finished": "finished", "asked to stop": "stopped as asked", "interrupted": "interrupted"}


class Lines:
    """Turns events into lines; keeps the newest steps to tell the time left."""

    def __init__(self, history: Sequence[Mapping[str, Any]], max_steps: int | None, repeats_heading: bool) -> None:
        self._rows = list(history)
        self._max_steps = max_steps
        self._heading_every = HEADING_EVERY if repeats_heading else None
        self._steps_shown = 0
        self._said_cut = False

    def of(self, event: Event) -> list[str]:
        """What to print for an event; nothing for weights."""
        data = event.data
        if event.kind == "weights":
            return []
        if event.kind == "metrics":
            return self._step(event)
        texts = {
            "value_pretraining": pretraining,
            "evaluation": evaluation,
            "checkpoint": lambda data: f"checkpoint of step {data.get('step')}",
            "control": lambda data: f"control: {data.get('action')}",
            "trainer_stopped": trainer_stopped,
            "trainer_failed": lambda data: f"trainer failed: {one_line(str(data.get('error')))}",
        }
        tell = texts.get(event.kind, lambda data: f"{event.kind}  {plain(data)}")
        return [f"{clock(event)}  {tell(data)}"]

    def standing(self, metrics: Mapping[str, Any]) -> str:
        """Where the run stands, for a line that is rewritten."""
        training, depths = metrics["training"], metrics["depths"]
        return (
            f"{steps(training['step'], training['max_steps'])}, {depths['admitted']} responses "
            f"under way, {depths['backlog']} prompts queued"
        )

    def _step(self, event: Event) -> list[str]:
        row = event.data
        self._rows = [*(one for one in self._rows if one["step"] < row["step"]), row][-ROWS:]
        lines = [HEADING] if self._heading_is_due() else []
        self._steps_shown += 1
        lines.append(f"{clock(event)}  {self._cells(row)}".rstrip())
        cut = row.get("truncated_fraction")
        if cut is not None and cut >= ALL_CUT and not self._said_cut:
            self._said_cut = True
            lines.append(f"{clock(event)}  {cut:.0%} were cut at sampling.max_new_tokens: rewards say little")
        return lines

    def _heading_is_due(self) -> bool:
        if self._heading_every is None:
            return self._steps_shown == 0
        return self._steps_shown % self._heading_every == 0

    def _cells(self, row: Mapping[str, Any]) -> str:
        of = f"/{self._max_steps}" if self._max_steps else ""
        cells = (
            f"{row['step']}{of}",
            figure(row.get("reward"), "+.2f"),
            figure(row.get("accuracy"), ".3f"),
            figure(row.get("response_length"), ".0f"),
            figure(row.get("truncated_fraction"), ".0%"),
            figure(row.get("entropy"), ".4f"),
            figure(row.get("explained_variance"), ".3f"),
            figure(row.get("tokens_per_second"), ".0f"),
            f"v{row['version']}" if "version" in row else "-",
            words(seconds_left(self._rows, self._max_steps)),
        )
        return " ".join(cell.rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))


def clock(event: Event) -> str:
    """Time of day of an event, by its id."""
    seconds = int(event.id.partition("-")[0] or 0) / 1000
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def pretraining(data: Mapping[str, Any]) -> str:
    """One batch of value pretraining."""
    return (
        f"pretraining {data.get('pretraining_step')}: expl.var "
        f"{figure(data.get('explained_variance'), '.3f')}, loss "
        f"{figure(data.get('value_loss'), '.4f')}, length "
        f"{figure(data.get('response_length'), '.0f')}, reward {figure(data.get('reward'), '+.2f')}"
    )


def evaluation(data: Mapping[str, Any]) -> str:
    """A finished evaluation: of what, under which weights, its scores."""
    samples, name = data.get("samples"), data.get("dataset") or "problems"
    scores = "nothing was judged"
    if data.get("avg_at_k") is not None:
        scores = (
            f"avg@{samples} {figure(data['avg_at_k'], '.4f')} ± "
            f"{figure(data.get('standard_error'), '.4f')}, maj@{samples} "
            f"{figure(data.get('maj_at_k'), '.4f')}"
        )
    version = data.get("newest_weight_version")
    weights = "" if version is None else f" v{version}"
    at = "" if data.get("step") is None else f" step {data['step']}"
    failed = f", {data['failed']} failed{_why(data)}" if data.get("failed") else ""
    share = data.get("truncated") or 0.0
    cut = f", {share:.0%} cut" if share >= LARGE_SHARE_CUT else ""
    under = f" ({at.strip()}{',' if at and weights else ''}{weights})" if at or weights else ""
    return f"held-out {name}{under}: {scores}{cut}{failed}  {data['id']}"


def _why(data: Mapping[str, Any]) -> str:
    """The commonest reason of an evaluation's failures."""
    reasons = data.get("reasons") or [{}]
    return f" ({one_line(reasons[0]['reason'])})" if "reason" in reasons[0] else ""


def trainer_stopped(data: Mapping[str, Any]) -> str:
    """The trainer's last words."""
    how = ENDS.get(data.get("state", ""), "stopped")
    return f"trainer {how} at {steps(data.get('step', 0), data.get('max_steps'))}"


def plain(data: Mapping[str, Any]) -> str:
    """The simple fields of an event of another kind."""
    shown = {name: value for name, value in data.items() if not isinstance(value, (dict, list))}
    return "  ".join(f"{name} {value}" for name, value in shown.items() if name != "at")
