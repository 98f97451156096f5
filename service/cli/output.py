"""What people and scripts read: tables on a terminal, tab-separated lines in a pipe, JSON."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from service.cli.exits import ExitStatus, fail


def show_json(value: Any) -> None:
    """One JSON value, indented, on standard output."""
    typer.echo(json.dumps(value, indent=2))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under headings; tab-separated where the output is no terminal."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [list(columns), *cells]:
            typer.echo("\t".join(line))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in cells:
        table.add_row(*row)
    Console().print(table, markup=False)


def write(path: Path, content: bytes) -> None:
    """Write a file, or end the command with one line that says why not."""
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(f"cannot write {path} ({error.strerror})", ExitStatus.USAGE)


def write_out(content: bytes) -> None:
    """Write to standard output, or end the command with one line that says why not."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is left would be tried again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f"cannot write standard output ({error.strerror})", ExitStatus.USAGE)


def note(message: str) -> None:
    """A line for people: standard error, so that standard output holds data alone."""
    typer.echo(message, err=True)


def seconds(value: float | None) -> str:
    """A time span in seconds as h:mm:ss; a dash when it is not known."""
    if value is None:
        return "-"
    whole = round(value)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def program() -> str:
    """How to call this program from here: by its path where it is not on the PATH."""
    return "ringside" if shutil.which("ringside") else sys.argv[0]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
