"""What can go wrong in a way a user can mend, and the exit codes scripts rely on."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    """All of it is done, or there was nothing to do."""
    FAILED = 1
    """It failed, or at least one of several deliveries was refused."""
    USAGE = 2
    """The command line is wrong; nothing was done."""
    PARTLY = 3
    """Done in part: some lines were unreadable, some rows or days were left out."""
    NOTHING_TO_DO = 4
    """With --detailed-exitcode only: there was nothing to do."""


class FlagmartError(Exception):
    """An error whose one line names the thing, the place and the mend; no traceback."""

    exit_code = Exit.FAILED


class UsageError(FlagmartError):
    """The command line asks for something that cannot be; nothing was done."""

    exit_code = Exit.USAGE
