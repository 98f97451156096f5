"""``/jobs/{id}/plots``: what a training looks like, drawn from its history when asked for."""

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Response

from service.deps import JobDep, SettingsDep
from service.etags import matches
from service.pages import listing
from service.plots.evaluations import read_neighbours
from service.plots.filmstrip import filmstrip_png
from service.plots.history import fingerprint, read_history
from service.plots.loading import draw, drawable
from service.plots.names import MEDIA_TYPES, Format, Name
from service.problems import Problem
from service.schemas import Listing
from worker.store.job import Job

router = APIRouter(prefix="/jobs/{job_id}/plots", tags=["plots"])

IfNoneMatch = Annotated[str | None, Header(max_length=2_000)]

_PNG = MEDIA_TYPES["png"]
_EVALUATE = "POST /jobs/{id}/evaluate makes one"
_MISSING: Mapping[str, str] = {
    "losses": "there are no metrics yet; the first come after schedule.metrics_every steps",
    "balance": "there are no metrics yet; the first come after schedule.metrics_every steps",
    "diversity": "the referee has not measured diversity yet; it does while the job trains",
    "quality": f"the referee has not measured quality yet, and there is no evaluation; {_EVALUATE}",
    "scores": f"no evaluation has looked at the discriminator's scores yet; {_EVALUATE}",
    "filmstrip": "there are no previews yet; the first comes after schedule.previews_every steps",
    "neighbours": f"there is no evaluation with a sheet of images yet; {_EVALUATE}",
}


@router.get("")
def list_plots(job: JobDep, settings: SettingsDep) -> Listing:
    """The pictures that there are of a job so far."""
    names = drawable(settings.home, read_history(job))
    formats: dict[str, list[Format]] = {name: ["png", "svg"] for name in names}
    formats |= {"filmstrip": ["png"]} if job.previews() else {}
    formats |= {"neighbours": ["png"]} if read_neighbours(job) else {}
    here = f"/jobs/{job.id}/plots"
    return listing(
        [
            {"name": name, "href": {kind: f"{here}/{name}.{kind}" for kind in kinds}}
            for name, kinds in formats.items()
        ]
    )


@router.get(
    "/filmstrip.png", response_class=Response, responses={200: {"content": {_PNG: {}}}, 304: {}}
)
def get_filmstrip(job: JobDep, if_none_match: IfNoneMatch = None) -> Response:
    """The same inputs through the training, at most twelve steps of it, first and last included.

    Points: scatter plots of the first two coordinates, each to its own scale.
    """

    def drawn() -> bytes | None:
        return filmstrip_png(job.previews(), job.config().space)

    return _answer(job, "filmstrip", "png", drawn, if_none_match)


@router.get(
    "/neighbours.png", response_class=Response, responses={200: {"content": {_PNG: {}}}, 304: {}}
)
def get_neighbours(job: JobDep, if_none_match: IfNoneMatch = None) -> Response:
    """Real beside generated beside the nearest training image, of the newest evaluation."""

    def read() -> bytes | None:
        found = read_neighbours(job)
        return found.picture if found else None

    return _answer(job, "neighbours", "png", read, if_none_match)


@router.get(
    "/{name}.{format}",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}, 304: {}},
)
def get_plot(
    job: JobDep,
    settings: SettingsDep,
    name: Name,
    format: Format,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A figure of the training so far, with the referee's warnings and the best checkpoint."""

    def drawn() -> bytes | None:
        return draw(settings.home, name, read_history(job), format)

    return _answer(job, name, format, drawn, if_none_match)


def _answer(
    job: Job,
    name: str,
    format: Format,
    make: Callable[[], bytes | None],
    if_none_match: str | None,
) -> Response:
    """A picture, unless the client has it; ``make`` is then not called.

    Raises:
        Problem: when there is nothing to draw.
    """
    # Before anything is read: what changes meanwhile is drawn again next time.
    etag = f'"{fingerprint(job)}-{name}-{format}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    content = make()
    if content is None:
        raise Problem("not-found", _MISSING[name].format(id=job.id))
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)
