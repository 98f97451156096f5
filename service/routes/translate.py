"""``POST /translate``: given images, as a refiner or a translator makes them over."""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray

from ganmodels.config import TrainConfig
from service.answering import model_headers
from service.deps import ChosenModel, EngineDep, ModelDep
from service.drawing import check_picture, choose_encoding
from service.engine.encoding.formats import FORMATS
from service.engine.encoding.layout import is_large
from service.engine.encoding.samples import Look, Samples
from service.engine.models import LoadedModel
from service.engine.operations import Translate
from service.engine.orders import Rows
from service.problems import parameter_problem
from service.receiving import BODIES, receive_items, whole

router = APIRouter(tags=["translations"])

_ANSWER: dict[str, Any] = {
    "content": {
        encoding.media_type: {} for encoding in FORMATS.values() if not encoding.points_only
    }
}


@router.post("/translate", response_class=Response, responses={200: _ANSWER}, openapi_extra=BODIES)
async def translate(
    request: Request,
    engine: EngineDep,
    model: ModelDep,
    direction: Annotated[
        Literal["a2b", "b2a"], Query(description="a is the source, b the dataset of the training")
    ] = "a2b",
    layout: Annotated[
        Literal["auto", "grid", "separate"] | None,
        Query(description="one picture or one per item"),
    ] = None,
    columns: Annotated[int | None, Query(ge=1, le=64, description="of a grid")] = None,
    format: Annotated[str | None, Query(max_length=20, description="overrides Accept")] = None,
) -> Response:
    """The images of the body made over, in their order; equal images give equal answers.

    Images are fitted to the model as a dataset's are at import, and the answer has the model's
    size. One that cannot be read is named, and nothing is translated.
    """
    resolved, config = model
    _check_direction(config, direction)
    choose = partial(choose_encoding, format, request.headers.get("accept"), config, layout)
    # What no number of items could have is refused before they are received and counted.
    choose(1)
    read = await receive_items(request)

    # Decoding takes as long as translating and more, so it waits for a model thread as well.
    checkpoint = resolved.checkpoint
    decoded = await engine.run(
        request, checkpoint, lambda _: whole(read(config.space)), read.is_large
    )
    items, count = decoded.answer, len(decoded.answer)
    chosen, look = choose(count), Look(columns or math.ceil(math.sqrt(count)))
    check_picture(chosen, config, count, look)

    def finish(loaded: LoadedModel, made: NDArray[np.generic]) -> bytes:
        return FORMATS[chosen].encode(_samples(made, model, direction), look)

    operation, large = Translate(direction), is_large(config.space, count, look)
    made = await engine.order(request, checkpoint, operation, count, _of(items), finish, large)
    headers = model_headers(resolved, [decoded.stages, made.stages])
    return Response(made.answer, media_type=FORMATS[chosen].content_type, headers=headers)


def _of(items: NDArray[np.generic]) -> Callable[[LoadedModel, int, int], Rows]:
    """Rows of items, which are translated without labels."""

    def rows(loaded: LoadedModel, start: int, stop: int) -> Rows:
        return items[start:stop], np.zeros(stop - start, dtype=np.int64)

    return rows


def _check_direction(config: TrainConfig, direction: str) -> None:
    """Refuse what this model cannot do.

    Raises:
        Problem: saying what it can.
    """
    directions = config.game.directions
    if not directions:
        raise parameter_problem(
            "model-draws",
            "model",
            "this model makes items of noise and translates none; draw them by GET /sample, or "
            "train with the simgan or cyclegan recipe",
        )
    if direction not in directions:
        detail = f"this model translates {' and '.join(directions)} only"
        raise parameter_problem("direction-unknown", "direction", detail)


def _samples(items: NDArray[np.generic], model: ChosenModel, direction: str) -> Samples:
    """Translated items, as the encodings take them."""
    parameters = {
        "object": "translations",
        "model": model.resolved.reference,
        "checkpoint": model.resolved.checkpoint.digest,
        "direction": direction,
        "offset": 0,
        "n": len(items),
        "labels": None,
    }
    return Samples(items, (None,) * len(items), model.config.space, parameters)
