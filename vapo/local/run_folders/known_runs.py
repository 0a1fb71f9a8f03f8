"""The runs on this machine: which there are, how each goes or ended, and which one a command means.

Invariants:
- a command that is not told which run takes the one that is live, of several the one started last;
  where none is live, the one started last;
- a run whose files cannot be read is still listed, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vapo.local.addresses import reachable_url
from vapo.local.run_folders.metrics_rows import METRICS_FILE
from vapo.local.run_folders.run_folder import RUNS, RunFolder, RunFolderError
from vapo.local.run_folders.run_outcome import OUTCOME_FILE, RunOutcome, Training, read_outcome
from vapo.settings import Settings, SettingsError

SETTINGS_FILE = "settings.json"
TRACES = (OUTCOME_FILE, METRICS_FILE, "logs", "redis", "checkpoints")
TAIL_BYTES = 2**16
"""More than the newest few rows of `metrics.jsonl` take."""

State = Literal["live", "finished", "stopped", "failed", "killed", "unknown"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its folder shows it."""

    folder: RunFolder
    name: str
    state: State
    story: str
    """How it goes or ended, in a few words that follow the run's name."""
    step: int
    max_steps: int | None
    url: str | None
    """Of its gateway, while it is live or where that is unknown."""
    started_at: float
    """Seconds since the epoch."""
    ended_at: float | None

    @property
    def live(self) -> bool:
        """Whether its parts are kept running."""
        return self.state == "live"

    @property
    def over(self) -> bool:
        """Whether it is known that nobody keeps its parts running."""
        return self.state not in ("live", "unknown")

    @property
    def progress(self) -> str:
        """`step N of M`."""
        return steps(self.step, self.max_steps)

    @property
    def where(self) -> str:
        """Its folder, from here if it lies below."""
        folder = self.folder.directory
        here = Path.cwd()
        return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def look(folder: RunFolder) -> Run:
    """One run's folder, read."""
    directory = folder.directory.resolve()
    folder, outcome = RunFolder(directory), read_outcome(directory)
    settings, fault = _settings(folder)
    step = newest_step(directory)
    most = settings.trainer.max_steps if settings else None
    state, story = _course(outcome, step, most)
    times = [file.stat().st_mtime for file in _marks(directory)]
    keeper = outcome.keeper
    ended = keeper.at if keeper and state not in ("live", "unknown", "killed") else None
    return Run(
        folder=folder,
        name=settings.run.name if settings else directory.name,
        state=state,
        story=f"{story}; {fault}" if fault else story,
        step=outcome.training.step if outcome.training and outcome.training.step else step,
        max_steps=most,
        url=reachable_url(settings.gateway.host, settings.gateway.port) if settings else None,
        started_at=times[0] if times else 0.0,
        ended_at=ended,
    )


def all_runs(runs: Path | None = None) -> list[Run]:
    """The runs here, the one started last first: under `runs/`, or in this folder where it is
    `runs` itself or a run's.
    """
    folders = _run_folders(runs or RUNS)
    if not folders and runs is None:
        here = Path()
        folders = [one for one in [here, *_run_folders(here)] if _has_run_here(one)]
    found = [look(RunFolder(folder)) for folder in folders]
    return sorted(found, key=lambda run: run.started_at, reverse=True)


def choose(named: Path | str | None = None) -> tuple[Run, str]:
    """The run a command means, and a line about the choice where there was one (else empty).

    Args:
        named: a run's folder, or the name of a run or of its folder here; None to choose.

    Raises:
        RunFolderError: there is none; the text lists those there are.
    """
    known = all_runs()
    if named is not None:
        return _named(str(named), known), ""
    if not known:
        raise RunFolderError("no run under runs/; start one with `vapo up`")
    live = [run for run in known if run.live]
    chosen = (live or known)[0]
    if len(known) == 1:
        return chosen, ""
    of = f"the newest of {len(live)} live runs" if len(live) > 1 else f"one of {len(known)} runs"
    return chosen, f"run {chosen.where} ({chosen.state}), {of}; `vapo runs` lists them"


def place_of(named: str) -> tuple[str, Path]:
    """Name and folder of the run to start or to resume. One that is here is found as every command
    finds it; of a new one `named` is the folder if it is a path, else the name of one in `runs/`.
    """
    run = _known(named, all_runs())
    if run is not None:
        return run.name, Path(run.where)
    folder = Path(named).expanduser()
    is_path = len(folder.parts) != 1 or named != folder.name or folder.name == ".."
    return (folder.resolve().name, folder) if is_path else (named, RUNS / named)


def overview(known: Sequence[Run]) -> str:
    """Names and states of runs, for messages."""
    return ", ".join(f"{run.where} ({run.state})" for run in known) or "none"


def steps(step: int, most: int | None) -> str:
    """`step N of M`, or `step N` where the limit is not known."""
    return f"step {step} of {most}" if most else f"step {step}"


def newest_step(directory: Path) -> int:
    """The last training step in `metrics.jsonl`; 0 before the first."""
    try:
        with (directory / METRICS_FILE).open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return 0
    return max((row["step"] for row in _rows(lines)), default=0)


def _rows(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Whole rows of training steps; the first and the last line may be cut."""
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            yield row


def _named(name: str, known: Sequence[Run]) -> Run:
    run = _known(name, known)
    if run is not None:
        return run
    folder = Path(name).expanduser()
    if folder.is_dir() or len(folder.parts) > 1:
        raise RunFolderError(
            f"{name} holds no run (no settings.json); start one with `vapo up`. Runs here: {overview(known)}"
        )
    raise RunFolderError(f"no run {name!r}: neither a folder nor a name; here: {overview(known)}")


def _known(name: str, known: Sequence[Run]) -> Run | None:
    """The run of this folder, else of this folder's name in `runs/`, else of this name."""
    folder = Path(name).expanduser()
    if _marks(folder):
        return look(RunFolder(folder))
    called = [run for run in known if run.folder.directory.name == name]
    return next(iter(called or [run for run in known if run.name == name]), None)


def _run_folders(root: Path) -> list[Path]:
    return [folder for folder in sorted(root.glob("*")) if folder.is_dir() and _marks(folder)]


def _has_run_here(folder: Path) -> bool:
    """Whether a run has left more than a `settings.json`, which other programs write too."""
    return bool(_marks(folder)) and any((folder / name).exists() for name in TRACES)


def _marks(folder: Path) -> list[Path]:
    """The files by which a folder is known as a run's."""
    files = (folder / SETTINGS_FILE, folder / OUTCOME_FILE)
    return [file for file in files if file.is_file()]


def _settings(folder: RunFolder) -> tuple[Settings | None, str]:
    try:
        return folder.read_settings(), ""
    except RunFolderError:
        return None, "its settings.json is missing"
    except (SettingsError, OSError):
        return None, "its settings.json cannot be read by this version"


def _course(outcome: RunOutcome, step: int, most: int | None) -> tuple[State, str]:
    keeper, training = outcome.keeper, outcome.training
    at = steps(step, most)
    end = end_of_training(training) if training else None
    if keeper is None:
        return "unknown", f"{end or at}; whether it runs is not recorded"
    if keeper.alive:
        return "live", end or at
    if keeper.state == "failed":
        return "failed", f"failed at {at}: {keeper.reason}"
    if keeper.state == "running":
        return "killed", f"killed at {at}" if end is None else f"{end}; killed later"
    if training and training.state in ("finished", "asked to stop"):
        return "finished", end or at
    cause = " by Ctrl-C or a signal" if keeper.state == "stopped" else ""
    return "stopped", f"stopped at {at}{cause}" + (f"; {end}" if end else "")


def end_of_training(training: Training) -> str | None:
    """How the trainer ended, in its own words; None while it runs or when it will go on."""
    at = steps(training.step or 0, training.max_steps)
    words = {
        "finished": f"trainer finished at {at}",
        "asked to stop": f"trainer stopped as asked at {at}",
        "failed": f"trainer failed at {at}: {training.reason}",
    }
    return words.get(training.state)
