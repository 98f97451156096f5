"""``ringside models``, ``sample`` and ``score``: what trained models do."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from service.cli.client import Json, checked, connect
from service.cli.exits import ExitStatus, fail
from service.cli.output import note, show_json, show_table

_FORMATS = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg", ".zip": "zip",
            ".npy": "npy", ".json": "json", ".csv": "csv"}  # fmt: skip
# These hold many items in one file and are sent as the body itself.
_COLLECTIONS = {".zip": "application/zip", ".npy": "application/x-npy"}

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="name, name:version, name@alias, job id or job:step")
]
Label = Annotated[
    str | None, typer.Option(help="Class by name or number; for samples a list as 0,1,2, in turn.")
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
    columns: Annotated[int | None, typer.Option(min=1, help="Columns of a grid.")] = None,
    output: Annotated[
        str, typer.Option("-o", "--output", help="File whose suffix names the format; - is stdout.")
    ] = "samples.png",
    as_json: Json = False,
) -> None:
    """Draw items from a trained model.

    The suffix of the file names the format: png, webp, jpeg, zip, npy, json or csv.

    Example: ringside sample my-digits -n 64 --seed 7 --label 3 -o threes.png
    """
    given = {"model": model, "n": count, "seed": seed, "label": label, "truncation": truncation,
             "columns": columns, "format": _format(output)}  # fmt: skip
    parameters: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    with connect() as client:
        response = checked(client.get("/sample", params=parameters))
    if output == "-":
        sys.stdout.buffer.write(response.content)
        return
    write(Path(output), response.content)
    _report(output, response, as_json)


def write(path: Path, content: bytes) -> None:
    """Write a file, or end the command with one line that says why not."""
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(f"cannot write {path} ({error.strerror})", ExitStatus.USAGE)


def _format(output: str) -> str:
    suffix = Path(output).suffix.lower()
    if output == "-":
        return "png"
    if suffix not in _FORMATS:
        raise typer.BadParameter(f"the suffix of {output} is none of {', '.join(_FORMATS)}")
    return _FORMATS[suffix]


def _report(output: str, response: httpx2.Response, as_json: bool) -> None:
    named = {
        "model": "Ringside-Model",
        "checkpoint": "Ringside-Checkpoint",
        "seed": "Ringside-Seed",
    }
    facts = {key: response.headers.get(header) for key, header in named.items()}
    if as_json:
        show_json({"path": output, "bytes": len(response.content), **facts})
    else:
        typer.echo(f"{output}: {facts['model']}, seed {facts['seed']}")


def score(
    model: ModelName,
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Images, or one ZIP or NPY.")
    ],
    label: Annotated[str | None, typer.Option(help="The class that the items claim to be.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a discriminator what it thinks of images.

    Percentiles are among held-out real items and among the generator's own. Example:

    ringside score my-digits seven.png three.png
    """
    parameters = {"model": model, **({"label": label} if label else {})}
    with ExitStack() as stack:
        client = stack.enter_context(connect())
        body = _body(files, stack)
        scores = checked(client.post("/score", params=parameters, **body)).json()
    if as_json:
        show_json(scores)
    else:
        rows = [_row(entry) for entry in scores["data"]]
        show_table(("item", "logit", "probability", "real %", "fake %"), rows)
    for entry in scores["data"]:
        if "error" in entry:
            note(f"{entry['name']}: {entry['error']['detail']}")
    if scores["errors"]:
        raise typer.Exit(ExitStatus.API_ERROR)


def _body(files: list[Path], stack: ExitStack) -> dict[str, Any]:
    media_type = _COLLECTIONS.get(files[0].suffix.lower())
    if media_type and len(files) == 1:
        content = stack.enter_context(files[0].open("rb"))
        return {"content": content.read(), "headers": {"Content-Type": media_type}}
    opened = [(path.name, stack.enter_context(path.open("rb"))) for path in files]
    return {"files": [("images", part) for part in opened]}


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    columns = ("logit", "probability", "percentile_real", "percentile_fake")
    return (entry["name"], *(entry.get(column) for column in columns))
