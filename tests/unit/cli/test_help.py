"""What `--help` says of each command."""

from __future__ import annotations

import argparse
import importlib

import pytest

from vapo.cli.registry import COMMANDS, Command


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if not command.in_checkout], ids=lambda command: command.name
)
def test_every_option_says_what_it_does(command: Command) -> None:
    parser = argparse.ArgumentParser(prog=command.name)
    importlib.import_module(command.module).add_arguments(parser)
    told_nothing = [action.option_strings or action.dest for action in parser._actions if not action.help]
    assert told_nothing == []
    parser.format_help()
