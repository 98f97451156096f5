"""``/sample``, a pure function of checkpoint, parameters, seed or mix, and index."""

import math
import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from ganmodels.latents import MAX_SEED
from ganmodels.mixing import Mode
from service.answering import answer
from service.codes import parse_codes
from service.deps import EngineDep, ModelDep, StoreDep, choose_model
from service.drawing import (
    MAX_IMAGES,
    MAX_INDEX,
    MAX_POINTS,
    Counted,
    Drawing,
    check_count,
    check_label_numbers,
    check_latents,
    check_picture,
    choose_encoding,
    items_at_once,
    parse_labels,
    require_latents,
)
from service.engine.encoding.formats import FORMATS
from service.engine.encoding.samples import MAX_EDGE_PIXELS, Look, Resampling
from service.mixes import query_mix
from service.origins import Listed, Seeded
from service.problems import body_problem
from service.schemas import Body
from service.streaming import stream

router = APIRouter(tags=["samples"])

_LISTED = Counted("/latents", "send the others in further requests")
_ANSWER: dict[str, Any] = {"content": {encoding.media_type: {} for encoding in FORMATS.values()}}

Count = Annotated[
    int,
    Query(
        ge=1,
        description="64 images or 10,000 points at most; 100,000 "
        "images as npy, zip or multipart, sent while they are drawn",
    ),
]
Seed = Annotated[int | None, Query(ge=0, le=MAX_SEED, description="random if left out, and echoed")]
Offset = Annotated[int, Query(ge=0, le=MAX_INDEX, description="index of the first item")]
Truncation = Annotated[
    float, Query(ge=0, le=1.5, allow_inf_nan=False, description="below 1: typical, less varied")
]
Label = Annotated[
    str | None,
    Query(
        max_length=2000,
        description="class name or number; several by comma, or all of them as all, are cycled",
    ),
]
CodesText = Annotated[
    str | None,
    Query(
        alias="codes",
        max_length=500,
        description="InfoGAN's codes, one entry each by comma: a number, or * for one by the seed",
    ),
]
MixText = Annotated[
    str | None,
    Query(
        alias="mix",
        max_length=500,
        description="in place of seed: seeds and weights, as s7:0.3,s12:0.7; item i mixes item i "
        "of all, and has the label of the first",
    ),
]
MixMode = Annotated[
    Mode | None,
    Query(description="slerp, along arcs, if left out; lerp, straight, takes weights below 0 too"),
]
Layout = Annotated[
    Literal["auto", "grid", "separate"] | None, Query(description="one picture or one per item")
]
Format = Annotated[str | None, Query(max_length=20, description="overrides Accept")]
Columns = Annotated[int | None, Query(ge=1, le=64, description="of a grid")]
Size = Annotated[
    int | None,
    Query(ge=1, le=MAX_EDGE_PIXELS, description="longer edge of each image, in pixels"),
]
Resample = Annotated[Resampling, Query(description="how images get another size")]
Quality = Annotated[
    int | None,
    Query(ge=1, le=100, description="of jpeg, else 90, and of webp, else lossless"),
]


@router.get("/sample", response_class=Response, responses={200: _ANSWER, 304: {}})
async def sample(
    request: Request,
    engine: EngineDep,
    model: ModelDep,
    n: Count = 1,
    seed: Seed = None,
    offset: Offset = 0,
    label: Label = None,
    truncation: Truncation = 1.0,
    codes: CodesText = None,
    mix: MixText = None,
    mix_mode: MixMode = None,
    layout: Layout = None,
    columns: Columns = None,
    size: Size = None,
    resample: Resample = "lanczos",
    quality: Quality = None,
    format: Format = None,
) -> Response:
    """Items from a generator. Item i depends on (seed, i) only, whatever else is asked for."""
    resolved, config = model
    require_latents(config)
    mixture = query_mix(mix, mix_mode, seed)
    named = seed is not None or mixture is not None
    chosen = choose_encoding(format, request.headers.get("accept"), config, layout, n)
    drawing = Drawing(
        resolved,
        config,
        check_count(n, config, size, streams=FORMATS[chosen].stream is not None),
        parse_labels(label, config),
        Look(columns or math.ceil(math.sqrt(n)), size=size, resample=resample, quality=quality),
        chosen,
        mixture or Seeded(secrets.randbelow(2**32) if seed is None else seed),
        offset,
        truncation,
        parse_codes(codes, config),
    )
    check_picture(drawing.format, config, n, drawing.look)
    if n > items_at_once(config, size):
        return await stream(request, drawing, engine, seeded=named)
    request.app.state.patterns.learn(request.scope, drawing)
    return await answer(request, drawing, engine, seeded=named)


class LatentsRequest(Body):
    """Latents to draw from, one item each, as ``GET /latents`` gives them.

    ``labels`` are numbers, one for each; ``label`` is as in ``GET /sample``. Without either,
    item i has the label that ``GET /sample`` gives it under seed 0.
    """

    model: str = Field(max_length=200)
    latents: list[list[float]] = Field(min_length=1, max_length=MAX_POINTS)
    labels: list[int] | None = Field(default=None, min_length=1, max_length=MAX_POINTS)
    label: str | None = Field(default=None, max_length=2000)
    layout: Literal["auto", "grid", "separate"] | None = None
    columns: int | None = Field(default=None, ge=1, le=MAX_IMAGES)
    size: int | None = Field(default=None, ge=1, le=MAX_EDGE_PIXELS)
    resample: Resampling = "lanczos"
    quality: int | None = Field(default=None, ge=1, le=100)
    format: str | None = Field(default=None, max_length=20)


@router.post("/sample", response_class=Response, responses={200: _ANSWER})
async def sample_latents(
    body: LatentsRequest, request: Request, store: StoreDep, engine: EngineDep
) -> Response:
    """Items from given latents; ``GET /latents`` has those of a seed."""
    resolved, config = await run_in_threadpool(choose_model, store, body.model)
    require_latents(config, "/model")
    count = check_count(len(body.latents), config, body.size, counted=_LISTED)
    if body.labels is not None and (len(body.labels) != count or body.label is not None):
        detail = "give one number for each latent, or label instead"
        raise body_problem("validation", "/labels", detail)
    drawing = Drawing(
        resolved,
        config,
        count,
        check_label_numbers(body.labels, config) or parse_labels(body.label, config, "/label"),
        Look(
            body.columns or math.ceil(math.sqrt(count)),
            size=body.size,
            resample=body.resample,
            quality=body.quality,
        ),
        choose_encoding(
            body.format, request.headers.get("accept"), config, body.layout, count, "/format"
        ),
        Listed(check_latents(body.latents, config)),
    )
    check_picture(drawing.format, config, count, drawing.look, "/columns")
    return await answer(request, drawing, engine, seeded=False)
