"""Commands that talk to a running Ringside."""

import typer


def add_commands(app: typer.Typer) -> None:
    """Add the client's commands to the application."""
