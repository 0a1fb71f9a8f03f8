"""The one exception a command raises for a failure that the user can mend."""

from __future__ import annotations


class CommandError(Exception):
    """A failure to show as one message, without a traceback. Its text names the thing, the value
    and the remedy.
    """
