"""The exceptions a command raises for a failure that the user can mend."""

from __future__ import annotations


class CommandError(Exception):
    """A failure to show as one message, without a traceback. Its text names the thing, the value
    and the remedy.
    """

    status = 1
    """The command's exit status."""


class UsageError(CommandError):
    """Options that cannot work together, or with what they are given for."""

    status = 2
