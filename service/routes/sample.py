"""``GET /sample``: a pure function of checkpoint, parameters, seed and index."""

import hashlib
import json
import math
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import Field

from ganmodels.config import TrainConfig
from ganmodels.latents import MAX_SEED
from ganmodels.spaces import ImageSpace
from service.deps import EngineDep, StoreDep
from service.engine.encode import ENCODER_VERSION, FORMATS, Encoding, Samples
from service.engine.engine import Engine
from service.engine.models import LoadedModel
from service.negotiation import choose_format
from service.problems import body_problem, parameter_problem
from service.schemas import Body
from worker.store.references import Resolved, resolve

router = APIRouter(tags=["samples"])

MAX_IMAGES, MAX_POINTS, MAX_PIXELS = 64, 10_000, 2**24
MAX_INDEX = 2**53
_ANSWER = {"content": {encoding.media_type: {} for encoding in FORMATS.values()}}
_LATENT_FORMATS = {"npy": "application/x-npy", "json": "application/json"}

Model = Annotated[
    str,
    Query(max_length=200, description="name, name:version, name@alias, job id or job:step"),
]
Count = Annotated[int, Query(ge=1, description="64 images or 10,000 points at most")]
Seed = Annotated[int | None, Query(ge=0, le=MAX_SEED, description="random if left out, and echoed")]
Offset = Annotated[int, Query(ge=0, le=MAX_INDEX, description="index of the first item")]
Truncation = Annotated[
    float, Query(ge=0, le=1.5, allow_inf_nan=False, description="below 1: typical, less varied")
]
Label = Annotated[
    str | None,
    Query(max_length=2000, description="class name or number; several by comma are cycled"),
]
Layout = Annotated[
    Literal["auto", "grid", "separate"] | None, Query(description="one picture or one per item")
]
Format = Annotated[str | None, Query(max_length=20, description="overrides Accept")]
Columns = Annotated[int | None, Query(ge=1, le=64, description="of a grid")]


class Drawing(NamedTuple):
    """A sample request, checked and complete: equal drawings give equal bytes."""

    resolved: Resolved
    config: TrainConfig
    seed: int | None
    offset: int
    latents: NDArray[np.float32] | None
    count: int
    labels: tuple[int, ...] | None
    truncation: float
    columns: int
    format: str

    def parameters(self) -> dict[str, Any]:
        """What made the samples, as it is written into files and answers."""
        names = self.config.space.classes
        return {
            "model": self.resolved.reference,
            "checkpoint": self.resolved.checkpoint.digest,
            "seed": self.seed,
            "offset": self.offset,
            "n": self.count,
            "labels": None if self.labels is None else [names[label] for label in self.labels],
            "truncation": self.truncation,
        }

    def etag(self) -> str:
        """Strong, and known before the model is touched."""
        named = {**self.parameters(), "columns": self.columns, "format": self.format}
        named |= {"encoder": ENCODER_VERSION, "device": "cpu"}
        digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode())
        if self.latents is not None:
            digest.update(self.latents.tobytes())
        return f'"{digest.hexdigest()[:32]}"'


@router.get("/sample", response_class=Response, responses={200: _ANSWER, 304: {}})
async def sample(
    request: Request,
    store: StoreDep,
    engine: EngineDep,
    model: Model,
    n: Count = 1,
    seed: Seed = None,
    offset: Offset = 0,
    label: Label = None,
    truncation: Truncation = 1.0,
    layout: Layout = None,
    columns: Columns = None,
    format: Format = None,
) -> Response:
    """Items from a generator. Item i depends on (seed, i) only, whatever else is asked for."""
    resolved = resolve(store, model)
    config = resolved.checkpoint.config()
    drawing = Drawing(
        resolved,
        config,
        secrets.randbelow(2**32) if seed is None else seed,
        offset,
        None,
        _check_count(n, config),
        _labels(label, config),
        truncation,
        columns or math.ceil(math.sqrt(n)),
        _format(format, request.headers.get("accept"), config, layout, n),
    )
    headers = _headers(drawing, seeded=seed is not None)
    if seed is not None and _matches(request.headers.get("if-none-match"), drawing.etag()):
        return Response(status_code=304, headers=headers)
    return await _answer(request, drawing, engine, headers)


class LatentsRequest(Body):
    """Latents to draw from, one item each; ``label`` as in ``GET /sample``."""

    model: str = Field(max_length=200)
    latents: list[list[float]] = Field(min_length=1, max_length=MAX_POINTS)
    label: str | None = Field(default=None, max_length=2000)
    layout: Literal["auto", "grid", "separate"] | None = None
    columns: int | None = Field(default=None, ge=1, le=MAX_IMAGES)
    format: str | None = Field(default=None, max_length=20)


@router.post("/sample", response_class=Response, responses={200: _ANSWER})
async def sample_latents(
    body: LatentsRequest, request: Request, store: StoreDep, engine: EngineDep
) -> Response:
    """Items from given latents; ``GET /latents`` has those of a seed.

    Without ``label`` item i has the label that ``GET /sample`` gives it under seed 0.
    """
    resolved = resolve(store, body.model)
    config = resolved.checkpoint.config()
    latents = _check_latents(body.latents, config)
    count = _check_count(len(latents), config)
    drawing = Drawing(
        resolved,
        config,
        None,
        0,
        latents,
        count,
        _labels(body.label or "0", config) if config.game.conditional or body.label else None,
        1.0,
        body.columns or math.ceil(math.sqrt(count)),
        _format(body.format, request.headers.get("accept"), config, body.layout, count),
    )
    return await _answer(request, drawing, engine, _headers(drawing, seeded=False))


@router.get(
    "/latents",
    response_class=Response,
    responses={200: {"content": {media_type: {} for media_type in _LATENT_FORMATS.values()}}},
)
def latents(
    request: Request,
    store: StoreDep,
    model: Model,
    seed: Annotated[int, Query(ge=0, le=MAX_SEED)],
    n: Count = 1,
    offset: Offset = 0,
    truncation: Truncation = 1.0,
    format: Format = None,
) -> Response:
    """The latents [n, width] behind the same ``GET /sample``."""
    resolved = resolve(store, model)
    config = resolved.checkpoint.config()
    latent = config.game.latent
    drawn = np.stack([latent.at(seed, offset + i) for i in range(_check_count(n, config))])
    drawn = latent.truncate(drawn, truncation)
    chosen = choose_format(format, request.headers.get("accept"), _LATENT_FORMATS)
    parameters = {"model": resolved.reference, "seed": seed, "offset": offset}
    if chosen == "npy":
        samples = Samples(drawn, (None,) * n, config.space, parameters)
        return Response(FORMATS["npy"].encode(samples, 1), media_type=_LATENT_FORMATS["npy"])
    body = {"object": "latents", **parameters, "latents": drawn.tolist()}
    return Response(json.dumps(body), media_type="application/json")


async def _answer(
    request: Request, drawing: Drawing, engine: Engine, headers: dict[str, str]
) -> Response:
    encoding = FORMATS[drawing.format]

    def draw(model: LoadedModel) -> bytes:
        return encoding.encode(_draw(drawing, model), drawing.columns)

    body = await engine.run(request, drawing.resolved.checkpoint, draw)
    return Response(body, media_type=encoding.media_type, headers=headers)


def _draw(drawing: Drawing, model: LoadedModel) -> Samples:
    sampler, count = model.sampler, drawing.count
    seed = drawing.seed or 0
    latents = drawing.latents
    if latents is None:
        latents = sampler.latents(seed, drawing.offset, count, drawing.truncation)
    if drawing.labels is None:
        labels = sampler.labels(seed, drawing.offset, count)
    else:
        places = drawing.offset + np.arange(count)
        labels = np.array(drawing.labels, dtype=np.int64)[places % len(drawing.labels)]
    names: Sequence[str | None] = (
        drawing.config.space.classes if drawing.config.game.conditional else ()
    )
    named = tuple(names[label] if names else None for label in labels)
    items = sampler.draw(latents, labels)
    return Samples(items, named, drawing.config.space, drawing.parameters())


def _check_count(n: int, config: TrainConfig) -> int:
    space, limit = config.space, MAX_POINTS
    if isinstance(space, ImageSpace):
        limit = min(MAX_IMAGES, MAX_PIXELS // (space.height * space.width))
    if n > limit:
        detail = f"n may be at most {limit} for this model; page with offset for more"
        raise parameter_problem("sample-too-large", "n", detail, limit=limit)
    return n


def _labels(text: str | None, config: TrainConfig) -> tuple[int, ...] | None:
    if text is None:
        return None
    if not config.game.conditional:
        raise parameter_problem(
            "model-unconditional",
            "label",
            "this model was trained without labels; leave label out or train with the cgan recipe",
        )
    return tuple(label_number(part.strip(), config.space.classes) for part in text.split(","))


def label_number(text: str, classes: Sequence[str]) -> int:
    """The number of a class, given by name or number.

    Raises:
        Problem: when there is no such class.
    """
    if text in classes:
        return classes.index(text)
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < len(classes):
        return int(text)
    known = ", ".join(classes[:20])
    raise parameter_problem("label-unknown", "label", f"labels of this model: {known}")


def _format(
    wanted: str | None, accept: str | None, config: TrainConfig, layout: str | None, n: int
) -> str:
    image = isinstance(config.space, ImageSpace)

    def fits(encoding: Encoding) -> bool:
        if layout == "grid" and not encoding.single:
            return False
        if layout == "separate" and n > 1 and encoding.single:
            return False
        return not (encoding.images_only if not image else encoding.points_only)

    return choose_format(
        wanted, accept, {name: e.media_type for name, e in FORMATS.items() if fits(e)}
    )


def _check_latents(rows: list[list[float]], config: TrainConfig) -> NDArray[np.float32]:
    width = config.game.latent.width
    if not rows or any(len(row) != width for row in rows):
        raise body_problem(
            "validation", "/latents", f"each latent of this model has {width} values"
        )
    array = np.array(rows, dtype=np.float64)
    if not np.isfinite(array).all() or np.abs(array).max() > 1e6:
        raise body_problem("validation", "/latents", "latents must be finite, at most 1e6 in size")
    return array.astype(np.float32)


def _headers(drawing: Drawing, seeded: bool) -> dict[str, str]:
    """Cache rules: for ever where model and seed are pinned, revalidated where only the seed is."""
    lasting = "private, max-age=31536000, immutable" if drawing.resolved.pinned else "no-cache"
    headers = {
        "Vary": "Accept",
        "Cache-Control": lasting if seeded else "no-store",
        "Ringside-Model": drawing.resolved.reference,
        "Ringside-Checkpoint": drawing.resolved.checkpoint.digest,
    }
    if drawing.seed is not None:
        headers["Ringside-Seed"] = str(drawing.seed)
        headers["ETag"] = drawing.etag()
    return headers


def _matches(if_none_match: str | None, etag: str) -> bool:
    if if_none_match is None:
        return False
    listed = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in listed or etag in listed


__all__ = ["label_number", "router"]
