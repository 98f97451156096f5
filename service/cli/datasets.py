"""``ringside datasets``: import data, see what there is."""

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated, Any

import typer

from service.cli.client import Json, checked, connect
from service.cli.exits import ExitStatus, fail
from service.cli.output import note, show_json, show_table

app = typer.Typer(help="Import datasets and list them.", no_args_is_help=True)


@app.command("add")
def add(
    source: Annotated[
        Path, typer.Argument(exists=True, metavar="FILE|DIRECTORY", help="What to import.")
    ],
    labels: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Labels in a second IDX file.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Resize images to 32 or 48x64 (height x width).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Import a dataset: a ZIP of images, IDX, NPZ, NPY, or a directory of images.

    The folders of images become their labels. Example:

    ringside datasets add ./flowers --name flowers --size 32
    """
    fields = {key: value for key, value in (("name", name), ("size", size)) if value is not None}
    with ExitStack() as stack:
        client = stack.enter_context(connect())
        files = {"file": _part(source, stack)}
        if labels:
            files["labels"] = _part(labels, stack)
        response = checked(client.post("/datasets", files=files, data=fields))
    dataset = response.json()
    if as_json:
        show_json(dataset)
        return
    if response.status_code == 200:
        note("this content was imported before")
    typer.echo(f"{dataset['name'] or dataset['id']}: {dataset['count']} items, {_space(dataset)}")
    _note_what_was_left_out(dataset["report"])


def _note_what_was_left_out(report: dict[str, Any]) -> None:
    if report["skipped"]:
        note(f"{report['skipped']} files are no images of a format that is read, and were left out")
    if report["unreadable_count"]:
        first = report["unreadable"][0]
        count = report["unreadable_count"]
        note(f"{count} images cannot be read and were left out; {first['name']}: {first['reason']}")
    if report["duplicates"]:
        note(f"{report['duplicates']} items are equal to an earlier one")
    if report["resize_rule"]:
        note(report["resize_rule"])


@app.command("list")
def show_all(as_json: Json = False) -> None:
    """List the datasets; the built-in ones are always there.

    Example: ringside datasets list
    """
    with connect() as client:
        listing = checked(client.get("/datasets")).json()
    if as_json:
        show_json(listing)
        return
    rows = [(d["name"], d["count"], _space(d), len(d["classes"]), d["id"]) for d in listing["data"]]
    show_table(("name", "items", "space", "classes", "id"), rows)


def _space(dataset: dict[str, Any]) -> str:
    space = dataset["space"]
    if "height" in space:
        return f"{space['height']}x{space['width']}x{space['channels']}"
    return str(space["kind"])


def _part(path: Path, stack: ExitStack) -> tuple[str, IO[bytes]]:
    if path.is_dir():
        return f"{path.name}.zip", stack.enter_context(zipped(path))
    return path.name, stack.enter_context(path.open("rb"))


@contextmanager
def zipped(directory: Path) -> Iterator[IO[bytes]]:
    """The files of a directory as a ZIP archive in a temporary file; hidden files stay out."""
    paths = sorted(path for path in directory.rglob("*") if _wanted(path, directory))
    if not paths:
        fail(f"there are no files in {directory}", ExitStatus.USAGE)
    with TemporaryFile() as target:
        # Stored: images are compressed already.
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
            for path in paths:
                _add(archive, path, directory)
        target.seek(0)
        yield target


def _add(archive: zipfile.ZipFile, path: Path, directory: Path) -> None:
    try:
        archive.write(path, path.relative_to(directory).as_posix())
    except OSError as error:
        fail(f"cannot pack {path} ({error.strerror})", ExitStatus.USAGE)
    except UnicodeError:
        shown = str(path).encode(errors="replace").decode()
        fail(f"cannot pack {shown}: its name is no UTF-8; rename it", ExitStatus.USAGE)


def _wanted(path: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
    return path.is_file() and not hidden
