"""From the words on the command line to the command's module and its exit status.

Invariants: exit status 0 for success, 1 for a failure named in one message on stderr, 2 for wrong
arguments (argparse's own, and options that cannot work together), 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from vapo import __version__
from vapo.cli.errors import CommandError
from vapo.cli.laboratory import become, is_here
from vapo.cli.output.lasting_output import lead_nowhere, open_closed_streams
from vapo.cli.registry import COMMANDS, Command, find
from vapo.installation import missing_package
from vapo.startup import StartupError, one_line

INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help shows the options\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` without the program's name. Returns the exit status."""
    open_closed_streams()
    leave_current_folder_out(sys.path)
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"vapo {__version__}")
        return 0
    command = find(words[0])
    if command is None:
        print(unknown(words[0]), file=sys.stderr)
        return 2
    return carry_out(command, words[1:])


def leave_current_folder_out(search_path: list[str]) -> None:
    """A `redis.py` where somebody stands is not the library, whatever PYTHONPATH says; a source
    tree that this very package is run from stays.
    """
    try:
        here = os.path.realpath(os.curdir)
    except FileNotFoundError:
        return  # the folder was deleted: nothing lies there
    own = str(Path(__file__).resolve().parents[2])
    search_path[:] = [entry for entry in search_path if os.path.realpath(entry or os.curdir) != here or here == own]


def carry_out(command: Command, words: Sequence[str]) -> int:
    """Import the command's module, parse its arguments and run it."""

    def run() -> int:
        if command.in_checkout:
            become(command, words)
        module = importlib.import_module(command.module)
        parser = Parser(prog=f"vapo {command.name}", description=command.summary)
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(list(words))))

    return exit_status(f"vapo {command.name}", run)


def exit_status(program: str, action: Callable[[], int]) -> int:
    """The status ``action`` returns, or that of its failure, which is told in one message.

    Args:
        program: as people type it.
        action: does the command's work; what it raises beside the failures that are known is a
            fault of the program.
    """
    try:
        return action()
    except CommandError as error:
        return failed(f"{program}: {error}", error.status)
    except StartupError as error:
        return failed(f"{program}: {one_line(error)}")
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        return failed(f"{program}: {missing}")
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, `less`) has gone; keep the interpreter from writing to it again as it
        # exits.
        lead_nowhere(sys.stdout)
        return 1


def failed(message: str, status: int = 1) -> int:
    """Say why on standard error, if anybody is there; returns the exit status."""
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:
        lead_nowhere(sys.stderr)
    return status


def overview() -> str:
    """The text of `vapo --help`."""
    width = max(len(command.name) for command in COMMANDS)
    where = "of this checkout's lab/" if is_here() else "only in a checkout of the project, which this is not"
    return "\n".join(
        [
            "usage: vapo COMMAND [options]",
            "",
            "Online reinforcement learning with VAPO.",
            "",
            *(f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS if not command.in_checkout),
            "",
            f"For study, {where}:",
            "",
            *(f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS if command.in_checkout),
            "",
            "vapo COMMAND --help shows the options of one command.",
        ]
    )


def unknown(name: str) -> str:
    """The message for a command that does not exist, with the nearest name that does."""
    near = difflib.get_close_matches(name, [command.name for command in COMMANDS], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "vapo --help lists the commands."
    return f"vapo: no command {name!r}; {hint}"
