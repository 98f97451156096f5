"""Datasets: import, look at, delete."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Response, UploadFile
from fastapi.responses import FileResponse

from ganmodels.data.builtin import BUILTIN
from ganmodels.data.packed import Manifest
from service.deps import ImportsDep, SettingsDep, StoreDep
from service.pages import listing
from service.problems import FieldError, Problem, body_problem
from service.schemas import Listing
from worker.names import is_name
from worker.store.files import ensure_directory, temporary_file

router = APIRouter(prefix="/datasets", tags=["datasets"])

MAX_IMPORTS = 2

SizeField = Annotated[
    str | None,
    Form(pattern="^[0-9]{1,4}(x[0-9]{1,4})?$", description="32 or 48x64: height x width"),
]


@router.post("", status_code=201)
def add_dataset(
    file: Annotated[UploadFile, File(description="ZIP of images, IDX (plain or gzip), NPZ or NPY")],
    store: StoreDep,
    settings: SettingsDep,
    imports: ImportsDep,
    response: Response,
    labels: Annotated[UploadFile | None, File(description="labels as a second IDX file")] = None,
    name: Annotated[str | None, Form(max_length=64, description="what to call it")] = None,
    size: SizeField = None,
) -> dict[str, Any]:
    """Import a dataset. The same content is stored once: it answers 200 and the same id."""
    _check_name(name)
    directory = store.home / "uploads"
    with _place(imports), ExitStack() as stack:
        upload, upload_labels = (
            stack.enter_context(_spooled(given, directory)) if given else None
            for given in (file, labels)
        )
        assert upload is not None
        manifest, new = store.datasets.import_upload(
            upload, upload_labels, _size(size), name, settings.import_timeout_seconds
        )
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/datasets/{manifest.id}"
    return view(manifest, store.datasets.names())


@router.get("")
def list_datasets(store: StoreDep) -> Listing:
    """All datasets; the built-in ones are always there."""
    manifests, names = store.datasets.all(), store.datasets.names()
    return listing([view(manifest, names, with_report=False) for manifest in manifests])


@router.get("/{reference}")
def get_dataset(reference: str, store: StoreDep) -> dict[str, Any]:
    """A dataset by name or id, with the report of its import."""
    return view(store.datasets.get(reference).manifest, store.datasets.names())


@router.get(
    "/{reference}/preview",
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}},
)
def preview(reference: str, store: StoreDep) -> FileResponse:
    """A picture of some items."""
    path = store.datasets.get(reference).directory / "preview.png"
    # Looked for here: one that is gone is no bug.
    return FileResponse(path, stat_result=path.stat())


@router.delete("/{reference}", status_code=204)
def delete_dataset(reference: str, store: StoreDep) -> None:
    """Remove a dataset that no unfinished job uses."""
    dataset_id = store.datasets.id_of(reference)
    # First: no cancelling of jobs would help.
    store.datasets.check_deletable(dataset_id)
    # No job is accepted meanwhile.
    with store.datasets.kept():
        users = store.jobs.users_of(dataset_id)
        if users:
            listed = ", ".join(job.id for job in users[:5])
            raise Problem("dataset-in-use", f"jobs use this dataset: {listed}; cancel them first")
        store.datasets.delete(dataset_id)


def view(manifest: Manifest, known: Mapping[str, str], with_report: bool = True) -> dict[str, Any]:
    """A dataset as clients see it; ``known`` says what each name stands for."""
    names = [name for name, named in known.items() if named == manifest.id]
    body = manifest.model_dump(mode="json", exclude=set() if with_report else {"report"})
    here = f"/datasets/{manifest.id}"
    return {
        "object": "dataset",
        **body,
        "name": names[0] if names else None,
        "names": names,
        "classes": list(manifest.space.classes),
        "links": {"self": here, "preview": f"{here}/preview"},
    }


def _check_name(name: str | None) -> None:
    if name is not None and not is_name(name):
        raise body_problem(
            "validation",
            "/name",
            "a name has 1 to 64 of a-z, 0-9, - and _, begins and ends with a letter or digit and "
            "is no id",
        )
    if name in BUILTIN:
        raise body_problem(
            "name-taken",
            "/name",
            f"{name} stands for a built-in dataset; choose another name",
            status=409,
        )


@contextmanager
def _place(imports: BoundedSemaphore) -> Iterator[None]:
    """One of few: an import holds a thread for minutes and a child process with much memory."""
    if not imports.acquire(blocking=False):
        raise Problem("overloaded", f"{MAX_IMPORTS} imports are at work; try again later")
    try:
        yield
    finally:
        imports.release()


@contextmanager
def _spooled(upload: UploadFile, directory: Path) -> Iterator[Path]:
    """A file of our own with the upload's bytes; the name it came with is not used."""
    ensure_directory(directory)
    with temporary_file(directory) as target:
        shutil.copyfileobj(upload.file, target, 1 << 20)
        target.flush()
        yield Path(target.name)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.partition("x")
    size = (int(height), int(width or height))
    if not all(4 <= edge <= 1024 for edge in size):
        detail = "size must be 4 to 1024 pixels a side, as 32 or 48x64 (height x width)"
        raise Problem(
            "validation", detail, errors=[FieldError(code="size", detail=detail, pointer="/size")]
        )
    return size
