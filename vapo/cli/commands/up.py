"""`vapo up`: all parts on this machine, until Ctrl-C.

After the trainer's last step the other parts serve on, for evaluations and chat; with
`--exit-when-done` everything ends then.
"""

from __future__ import annotations

import argparse
import json
import threading

from vapo.cli.errors import CommandError
from vapo.cli.output.lasting_output import lasting_output
from vapo.cli.settings_options import add_settings_options, settings_from
from vapo.installation import check_installed
from vapo.local.interruption import interrupted_by_signals
from vapo.local.private_redis import RedisServerError
from vapo.local.run_folders.known_runs import end_of_training, place_of
from vapo.local.run_folders.run_folder import RunFolderError
from vapo.local.run_folders.run_outcome import read_outcome
from vapo.local.stack import PARTS, Shape, Stack, StackError, running_stack
from vapo.local.supervision.readiness import NotReadyError
from vapo.model.folder.contents import check_model_description
from vapo.option_types import path, whole
from vapo.settings import Settings
from vapo.startup import file_trouble

CHECK_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_settings_options(parser)
    parser.add_argument(
        "--model", type=path, metavar="FOLDER", help="local Hugging Face folder of a causal language model"
    )
    parser.add_argument("--run", metavar="RUN", help="name or folder of the run; the folder of a new name is runs/NAME")
    for option, parts in (("generators", "generators"), ("verifiers", "verifiers"), ("values", "value services")):
        parser.add_argument(
            f"--{option}",
            type=whole(0),
            default=1,
            metavar="N",
            help=f"how many {parts}; 0: none here, some on another host",
        )
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--exit-when-done",
        action="store_true",
        help="stop everything after the trainer's last step; the status is 0 if it was reached",
    )
    end.add_argument(
        "--keep-serving",
        action="store_true",
        help="serve on after the trainer's last step, for evaluations and chat, until Ctrl-C: the default",
    )
    parser.add_argument(
        "--trainer-ranks",
        type=whole(0),
        default=1,
        metavar="N",
        help="processes the trainer is sharded over, one for each GPU; 0: no trainer here",
    )


def run(arguments: argparse.Namespace) -> int:
    """Start the stack, say how to use it, and keep it running."""
    shape = Shape(arguments.generators, arguments.verifiers, arguments.values, arguments.trainer_ranks)
    check_installed(part for part in PARTS if shape.count(part))
    settings = chosen_settings(arguments)
    if arguments.exit_when_done and not shape.trainer_ranks:
        raise CommandError(
            "--exit-when-done waits for the trainer, and --trainer-ranks 0 starts none; leave one of them out"
        )
    try:
        with interrupted_by_signals(), lasting_output(), running_stack(settings, report, shape) as stack:
            report(f"starting; logs are in {stack.folder.directory / 'logs'}")
            stack.wait_ready()
            print(how_to_use(stack), *left_out(shape), sep="\n", flush=True)
            with stack.troubles_told(report):
                keep_running(stack, arguments.exit_when_done)
    except (StackError, NotReadyError, RedisServerError, RunFolderError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(file_trouble(error)) from None
    return 0


def chosen_settings(arguments: argparse.Namespace) -> Settings:
    """The resolved settings; the command's own options lie over the file, `--set` over them.

    Raises:
        CommandError: a setting cannot be used.
        ModelFolderError: the model folder cannot be used.
    """
    own = {}
    if arguments.model:
        check_model_description(arguments.model.expanduser(), "--model")
        own["model.path"] = str(arguments.model)
    if arguments.run:
        name, folder = place_of(arguments.run)
        own |= {"run.name": name, "run.directory": str(folder)}
    arguments.set = [*(f"{key}={json.dumps(text)}" for key, text in own.items()), *arguments.set]
    return settings_from(arguments)


def keep_running(stack: Stack, exit_when_done: bool) -> None:
    """Return when the trainer has finished if asked to, else never; raise when a part was given up.

    A stack without a trainer of its own serves until it is interrupted.
    """
    pause, told = threading.Event(), False
    while True:
        done = not stack.trains and stack.has_trainer
        if done and exit_when_done:
            return
        if done and not told:
            report(f"{last_words(stack)}; evaluations, chat and export go on until Ctrl-C")
            told = True
        pause.wait(CHECK_SECONDS)


def last_words(stack: Stack) -> str:
    """How the trainer ended, in its own words."""
    training = read_outcome(stack.folder.directory).training
    return (training and end_of_training(training)) or "trainer has ended"


def how_to_use(stack: Stack) -> str:
    """What a person can do now."""
    return "\n".join(
        [
            f"ready: {stack.gateway_url} (dashboard and REST)",
            f"run folder: {stack.folder.directory}",
            f"tokens: {stack.folder.settings_file}, section security",
            "in another terminal: vapo submit FILE.jsonl | vapo watch | vapo eval FILE.jsonl",
            "it serves on after the last step, for vapo eval and chat; Ctrl-C stops everything,",
            "and starting the same run again resumes it",
        ]
    )


def left_out(shape: Shape) -> list[str]:
    """A line on the parts that others have to run, if there are such."""
    names = {
        "generators": shape.generators,
        "verifiers": shape.verifiers,
        "values": shape.values,
        "trainer": shape.trainer_ranks,
    }
    absent = ", ".join(name for name, count in names.items() if not count)
    return [f"not started here: {absent}; the run waits for some on another host"] * bool(absent)


def report(message: str) -> None:
    """One line about a part."""
    print(f"vapo up: {message}", flush=True)
