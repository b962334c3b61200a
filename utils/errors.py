"""User-visible errors; each message is one sentence that names the file and says what to do.

`utils.command_line.run` ends a script with the exit status of each; code that handles one file at a time
catches `Unreadable` and skips the file.
"""


class CouldNotStart(Exception):
    """A user's mistake found before any work was done; exit status 2."""


class Unreadable(CouldNotStart):
    """A user's file that is missing, broken, or not what it should be."""


class HadToStop(Exception):
    """Work that could not continue (disk full, non-finite cost); exit status 3."""
