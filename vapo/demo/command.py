"""`vapo demo`: what `make demo` runs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from vapo.cli.errors import CommandError
from vapo.cli.output.lasting_output import lasting_output
from vapo.cli.settings_options import add_settings_options, settings_from
from vapo.client import GatewayError
from vapo.demo.evaluation import EvaluationFailed
from vapo.demo.session import DemoError
from vapo.demo.settings import DemoOptions
from vapo.demo.state import DemoState, load_state
from vapo.installation import check_installed
from vapo.local.interruption import interrupted_by_signals
from vapo.local.private_redis import RedisServerError
from vapo.local.run_folders.run_folder import RUNS, RunFolderError
from vapo.local.stack import PARTS, StackError, changed
from vapo.local.supervision.readiness import NotReadyError
from vapo.option_types import above, path, whole
from vapo.settings import Settings
from vapo.startup import check_writable, file_trouble

FAILURES = (StackError, NotReadyError, RedisServerError, RunFolderError, GatewayError, DemoError, EvaluationFailed)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    defaults = DemoOptions()
    parser.add_argument(
        "--seed", type=whole(0), default=defaults.seed, help="of problems, order and draws (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=above(0),
        default=defaults.rl_seconds,
        help="wall-clock budget of reinforcement learning (default: %(default).0f)",
    )
    parser.add_argument("--problems", type=whole(1), default=defaults.held_out_problems, help="held-out problems")
    parser.add_argument("--samples", type=whole(1), default=defaults.samples, help="responses to each (k of avg@k)")
    parser.add_argument("--run-dir", type=path, help="run folder (default: runs/demo-NUMBER)")
    parser.add_argument("--fresh", action="store_true", help="do not resume an unfinished run")
    add_settings_options(parser)
    parser.set_defaults(preset=["demo"])


def run(arguments: argparse.Namespace) -> int:
    """Resume the unfinished run or begin one, and show what came of it."""
    check_installed([*PARTS, "demo"])
    from vapo.demo.display import choose_display  # what draws is an optional package
    from vapo.demo.run import conclude, run_session

    options = replace(
        DemoOptions(),
        seed=arguments.seed,
        rl_seconds=arguments.seconds,
        held_out_problems=arguments.problems,
        samples=arguments.samples,
    )
    folder, state = choose_run(arguments.run_dir, options.seed, arguments.fresh)
    settings = demo_settings(arguments, folder, options.seed)
    if state is None:
        state = DemoState(options.seed, time.time())
    else:
        print(f"resuming {folder} at {state.rl_seconds:.0f} s of reinforcement learning")
    try:
        if not state.finished:
            with interrupted_by_signals(), lasting_output(), choose_display() as display:
                run_session(settings, options, state, display)
    except FAILURES as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(file_trouble(error)) from None
    except KeyboardInterrupt:
        print("\nStopped; nothing is left running. The same command resumes.", file=sys.stderr)
        raise
    summary, found = conclude(state, folder)
    print(summary)
    print(json.dumps(found))
    return 0


def choose_run(wanted: Path | None, seed: int, fresh: bool) -> tuple[Path, DemoState | None]:
    """The folder to work in, and the state of the run in it if there is one to take up."""
    if wanted is not None:
        check_writable("--run-dir", wanted)
        return wanted.resolve(), None if fresh else load_state(wanted)
    folders = sorted(RUNS.glob("demo-*"), key=run_number)
    if folders and not fresh:
        state = load_state(folders[-1])
        if state is not None and state.seed == seed and not state.finished:
            return folders[-1].resolve(), state
    return (RUNS / f"demo-{run_number(folders[-1]) + 1 if folders else 1}").resolve(), None


def run_number(folder: Path) -> int:
    """N of `demo-N`; 0 for a folder that is named otherwise."""
    number = folder.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def demo_settings(arguments: argparse.Namespace, folder: Path, seed: int) -> Settings:
    """The demo's settings with the user's laid over them."""
    return changed(settings_from(arguments), {"run": {"directory": folder, "seed": seed}})
