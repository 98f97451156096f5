"""``ringside``: the command line."""

import typer

from service.cli import datasets, evaluate, inference, interpolate, jobs, run, train

app = typer.Typer(
    name="ringside",
    help="Train generative adversarial networks on your own data and serve them.",
    epilog=(
        "Exit status: 0 ok, 1 API error, 2 usage, 3 not found, 4 key refused, 5 overloaded or not "
        "reachable, 6 job failed, 7 job canceled, 130 detached. RINGSIDE_URL and RINGSIDE_API_KEY "
        "name the service to talk to."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (run.up, run.demo, run.api, run.worker):
    app.command()(command)
app.add_typer(datasets.app, name="datasets")
app.command()(train.train)
app.add_typer(jobs.app, name="jobs")
app.command()(inference.models)
app.command()(inference.sample)
app.command()(interpolate.interpolate)
app.command()(inference.score)
app.command()(inference.translate)
app.command()(evaluate.evaluate)


def main() -> None:
    """Entry point of the ``ringside`` command."""
    app()
