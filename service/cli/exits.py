"""How commands end: exit statuses, and one line on standard error."""

from enum import IntEnum
from typing import NoReturn

import typer


class ExitStatus(IntEnum):
    """What a shell script can learn from a command; 0 is success."""

    API_ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    UNAVAILABLE = 5
    JOB_FAILED = 6
    JOB_CANCELED = 7
    INTERRUPTED = 130


def fail(message: str, status: ExitStatus = ExitStatus.API_ERROR) -> NoReturn:
    """One line on standard error, then the end of the command."""
    typer.echo(f"ringside: {message}", err=True)
    raise typer.Exit(status)
