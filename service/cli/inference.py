"""``ringside models``, ``sample``, ``score`` and ``translate``: what trained models do."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from service.cli.client import Json, checked, connect
from service.cli.exits import ExitStatus
from service.cli.output import note, show_json, show_table, write, write_out

_FORMATS = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg", ".zip": "zip",
            ".npy": "npy", ".npz": "npz", ".json": "json", ".csv": "csv"}  # fmt: skip
# These hold many items in one file and are sent as the body itself.
_COLLECTIONS = {".zip": "application/zip", ".npy": "application/x-npy"}

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="name, name:version, name@alias, job id or job:step")
]
Label = Annotated[
    str | None,
    typer.Option(help="Class by name or number; for samples a list as 0,1,2, or all, in turn."),
]
Files = Annotated[
    list[Path], typer.Argument(exists=True, dir_okay=False, help="Images, or one ZIP or NPY.")
]
Columns = Annotated[int | None, typer.Option(min=1, help="Columns of a grid.")]
Output = Annotated[
    str, typer.Option("-o", "--output", help="File whose suffix names the format; - is stdout.")
]


def models(as_json: Json = False) -> None:
    """List the models that can be sampled.

    Example: ringside models
    """
    with connect() as client:
        listing = checked(client.get("/models")).json()
    if as_json:
        show_json(listing)
        return
    rows = [
        (m["name"], len(m["versions"]), ", ".join(m["aliases"]), m["created_at"])
        for m in listing["data"]
    ]
    show_table(("name", "versions", "aliases", "created"), rows)


def sample(
    model: ModelName,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many items.")] = 16,
    seed: Annotated[
        int | None, typer.Option(help="Same seed, same items; random if not set.")
    ] = None,
    label: Label = None,
    truncation: Annotated[
        float | None, typer.Option(help="Below 1: more typical items, less variety.")
    ] = None,
    mix: Annotated[
        str | None, typer.Option(help="In place of a seed: several, as s7:0.3,s12:0.7.")
    ] = None,
    codes: Annotated[
        str | None, typer.Option(help="InfoGAN's codes, as 3,*,0.5; * is one by the seed.")
    ] = None,
    columns: Columns = None,
    output: Output = "samples.png",
    as_json: Json = False,
) -> None:
    """Draw items from a trained model.

    The suffix of the file names the format: png, webp, jpeg, zip, npy, npz, json or csv.

    Example: ringside sample my-digits -n 64 --seed 7 --label 3 -o threes.png
    """
    given = {"model": model, "n": count, "seed": seed, "label": label, "truncation": truncation,
             "mix": mix, "codes": codes, "columns": columns,
             "format": _format(output)}  # fmt: skip
    with connect() as client:
        response = checked(client.get("/sample", params=named(given)))
    deliver(output, response, as_json)


def named(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters that were given."""
    return {name: value for name, value in given.items() if value is not None}


def deliver(output: str, response: httpx2.Response, as_json: bool) -> None:
    """Write the items to the file, or to standard output, and say what they are."""
    if output == "-":
        write_out(response.content)
        return
    write(Path(output), response.content)
    _report(output, response, as_json)


def _format(output: str) -> str:
    suffix = Path(output).suffix.lower()
    if output == "-":
        return "png"
    if suffix not in _FORMATS:
        raise typer.BadParameter(f"the suffix of {output} is none of {', '.join(_FORMATS)}")
    return _FORMATS[suffix]


def _report(output: str, response: httpx2.Response, as_json: bool) -> None:
    headers = {
        "model": "Ringside-Model",
        "checkpoint": "Ringside-Checkpoint",
        "seed": "Ringside-Seed",
    }
    facts = named({key: response.headers.get(header) for key, header in headers.items()})
    if as_json:
        show_json({"path": output, "bytes": len(response.content), **facts})
    else:
        seed = f", seed {facts['seed']}" if "seed" in facts else ""
        typer.echo(f"{output}: {facts['model']}{seed}")


def score(
    model: ModelName,
    files: Files,
    label: Annotated[str | None, typer.Option(help="The class that the items claim to be.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a discriminator what it thinks of images.

    Percentiles are among held-out real items and among the generator's own. Example:

    ringside score my-digits seven.png three.png
    """
    scores = _send("/score", {"model": model, "label": label}, files).json()
    if as_json:
        show_json(scores)
    else:
        show_scores(scores)
    for entry in scores["data"]:
        if "error" in entry:
            note(f"{entry['name']}: {entry['error']['detail']}")
    if scores["errors"]:
        raise typer.Exit(ExitStatus.API_ERROR)


def translate(
    model: ModelName,
    files: Files,
    direction: Annotated[
        str | None, typer.Option(help="a2b, from source to dataset, or b2a, back; a2b if not set.")
    ] = None,
    columns: Columns = None,
    output: Output = "translated.png",
    as_json: Json = False,
) -> None:
    """Make images over with a refiner or a translator.

    The suffix of the file names the format: png, webp, jpeg, zip, npy, npz or json.

    Example: ringside translate writer drawn.npy --direction a2b -o made-over.png
    """
    given = {"model": model, "direction": direction, "columns": columns, "format": _format(output)}
    deliver(output, _send("/translate", given, files), as_json)


def _send(path: str, parameters: dict[str, Any], files: list[Path]) -> httpx2.Response:
    """The answer to the items of some files."""
    with ExitStack() as stack:
        client = stack.enter_context(connect())
        body = _body(files, stack)
        return checked(client.post(path, params=named(parameters), **body))


def _body(files: list[Path], stack: ExitStack) -> dict[str, Any]:
    media_type = _COLLECTIONS.get(files[0].suffix.lower())
    if media_type and len(files) == 1:
        content = stack.enter_context(files[0].open("rb"))
        return {"content": content.read(), "headers": {"Content-Type": media_type}}
    opened = [(path.name, stack.enter_context(path.open("rb"))) for path in files]
    return {"files": [("images", part) for part in opened]}


def show_scores(scores: dict[str, Any]) -> None:
    """A row for each item, with its label where there is any; and in which company it was."""
    columns = {
        "logit": "logit",
        "probability": "probability",
        "percentile_real": "real %",
        "percentile_fake": "fake %",
    }
    if any(entry.get("label") is not None for entry in scores["data"]):
        columns["label"] = "label"
    rows = [(entry["name"], *map(entry.get, columns)) for entry in scores["data"]]
    show_table(("item", *columns.values()), rows)
    if company := scores["company"]:
        note(f"beside {company['items']} real items: {company['rule']}")
