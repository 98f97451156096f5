"""``ringside``: the command line."""

import typer

from service.cli import client, run

app = typer.Typer(
    name="ringside",
    help=__doc__ and "Train generative adversarial networks on your own data and serve them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (run.up, run.demo, run.api, run.worker):
    app.command()(command)
client.add_commands(app)


def main() -> None:
    """Entry point of the ``ringside`` command."""
    app()
