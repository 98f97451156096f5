"""``GET /sample/plane``: a grid of items over the plane through the latents of three seeds."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from ganmodels.latents import MAX_SEED
from ganmodels.mixing import Mode
from service.answering import answer
from service.codes import parse_codes
from service.deps import EngineDep, ModelDep
from service.drawing import (
    Drawing,
    check_picture,
    choose_encoding,
    most_frames,
    parse_labels,
    require_latents,
)
from service.engine.encoding.formats import FORMATS
from service.engine.encoding.samples import Look
from service.origins import Plane
from service.problems import parameter_problem
from service.routes.sample import CodesText, Format, Label, Quality, Resample, Size, Truncation

router = APIRouter(tags=["samples"])

_ANSWER: dict[str, Any] = {"content": {encoding.media_type: {} for encoding in FORMATS.values()}}

Corner = Annotated[int, Query(ge=0, le=MAX_SEED, description="seed of a corner")]
Edge = Annotated[int, Query(ge=1, le=64, description="256 items at most")]


@router.get("/sample/plane", response_class=Response, responses={200: _ANSWER, 304: {}})
async def plane(
    request: Request,
    engine: EngineDep,
    model: ModelDep,
    a: Corner,
    b: Corner,
    c: Corner,
    rows: Edge = 5,
    columns: Edge = 5,
    mode: Annotated[Mode, Query(description="along arcs, or straight")] = "slerp",
    label: Label = None,
    truncation: Truncation = 1.0,
    codes: CodesText = None,
    size: Size = None,
    resample: Resample = "lanczos",
    quality: Quality = None,
    format: Format = None,
) -> Response:
    """Items over a plane: a in its first corner, b at the end of its row, c of its column.

    All have the label of a, unless another is asked for. A single row leads from a to b.
    """
    resolved, config = model
    require_latents(config)
    count, most = rows * columns, most_frames(config, size)
    if count > most:
        in_size = "" if size is None else " in this size"
        detail = (
            f"this model's planes have {most} items at most{in_size}; ask for fewer rows or columns"
        )
        raise parameter_problem("sample-too-large", "rows", detail, limit=most)
    drawing = Drawing(
        resolved,
        config,
        count,
        parse_labels(label, config),
        Look(columns, size=size, resample=resample, quality=quality),
        choose_encoding(format, request.headers.get("accept"), config, None, count),
        truncation=truncation,
        codes=parse_codes(codes, config),
        origin=Plane((a, b, c), rows, columns, mode),
    )
    check_picture(drawing.format, config, count, drawing.look)
    return await answer(request, drawing, engine, seeded=True)
