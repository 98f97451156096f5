"""``ringside train``: ask for a training."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from service.cli.client import Json, checked, connect
from service.cli.follow import attend
from service.cli.output import note, program, show_json

Dataset = Annotated[str, typer.Argument(help="Name or id of a dataset; see datasets list.")]
Recipe = Annotated[
    str | None, typer.Option(help="Named settings (GET /recipes); one that suits if left out.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change any field; may be repeated."),
]
Source = Annotated[
    str | None, typer.Option(help="Dataset whose items are made over, in games that translate.")
]
StartFrom = Annotated[
    str | None,
    typer.Option(help="Model, job id or job:step whose weights the training begins with."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the plan and its cost; train nothing.")
]


def train(
    dataset: Dataset,
    recipe: Recipe = None,
    source: Source = None,
    start_from: StartFrom = None,
    model: Annotated[str | None, typer.Option(help="Name under which to serve the result.")] = None,
    steps: Annotated[int | None, typer.Option(help="How many steps to train.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Items per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of both networks.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.")] = None,
    setting: Settings = None,
    dry_run: DryRun = False,
    follow: Annotated[bool, typer.Option("--follow", help="Stay and show the progress.")] = False,
    as_json: Json = False,
) -> None:
    """Train a GAN on a dataset.

    With --follow, Ctrl-C detaches (exit status 130) and the job trains on. Example:

    ringside train digits --model my-digits --steps 2000 --set game.objective.kind=hinge --follow
    """
    given = {
        "dataset": dataset, "recipe": recipe, "source": source, "start_from": start_from,
        "model": model, "steps": steps,
        "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed,
    }  # fmt: skip
    body = merged({key: value for key, value in given.items() if value is not None}, setting or [])
    with connect() as client:
        parameters = {"dry_run": "true"} if dry_run else {}
        answer = checked(client.post("/train", json=body, params=parameters)).json()
        warn(answer)
        if dry_run or (as_json and not follow):
            show_json(answer)
            return
        note(f"accepted: {answer['id']} ({answer['recipe']})")
        if follow:
            attend(client, answer, as_json)
            return
        note(f"watch it with:  {program()} jobs follow {answer['id']}")
        typer.echo(answer["id"])


def warn(answer: Mapping[str, Any]) -> None:
    """Print the warnings of a plan or a job on standard error."""
    for warning in answer["warnings"]:
        note(f"warning: {warning['pointer']}: {warning['detail']}")


def merged(body: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A request body with the fields of ``--set a.b=value`` added; values are JSON or text."""
    for setting in settings:
        path, equals, text = setting.partition("=")
        *parents, last = path.split(".")
        if not equals or not all([*parents, last]):
            raise typer.BadParameter(f"{setting!r} is not PATH=VALUE, as game.objective.kind=hinge")
        target = body
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise typer.BadParameter(f"{parent} was set to a value, so {path} cannot be set")
        target[last] = _value(text)
    return body


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
