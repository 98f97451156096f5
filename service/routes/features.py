"""``POST /features``: what a discriminator's layers hold of given items; which layers there are."""

import io
import math
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from ganmodels.layers import PENULTIMATE, Features, layers
from service.answering import model_headers, server_timing
from service.deps import EngineDep, ModelDep, StoreDep, choose_model
from service.engine.encoding.arrays import encode_array
from service.engine.models import LoadedModel
from service.engine.operations import Observe
from service.engine.orders import Rows
from service.images import Received
from service.negotiation import choose_format
from service.problems import parameter_problem
from service.receiving import BODIES, receive_items, whole
from service.routes.score import asked_label

router = APIRouter(tags=["scores"])

# Of one answer: 64 MiB.
MAX_VALUES = 2**24
_FORMATS = {"npy": "application/x-npy", "npz": "application/x-npz"}
_ANSWER: dict[str, Any] = {"content": {media_type: {} for media_type in _FORMATS.values()}}

LayerName = Annotated[
    str, Query(max_length=100, description="one of GET /models/{reference}/layers")
]


@router.post("/features", response_class=Response, responses={200: _ANSWER}, openapi_extra=BODIES)
async def features(
    request: Request,
    engine: EngineDep,
    model: ModelDep,
    layer: LayerName = PENULTIMATE,
    label: Annotated[
        str | None, Query(max_length=100, description="the class that the items claim to be")
    ] = None,
    format: Annotated[str | None, Query(max_length=20, description="overrides Accept")] = None,
) -> Response:
    """What a layer holds of the items of the body, [n, *shape], in their order.

    An item's features depend on no other item. Items are fitted to the model as a dataset's are at
    import, and judged as ``POST /score`` judges them. One that cannot be read is named, and nothing
    is computed. npz has ``features``, ``names`` of the items and the name of the ``layer``.
    """
    checkpoint, number = model.resolved.checkpoint, asked_label(label, model.config)
    chosen = choose_format(format, request.headers.get("accept"), _FORMATS)
    read = await receive_items(request)

    def receive(loaded: LoadedModel) -> tuple[list[Received], NDArray[np.generic]]:
        received = read(model.config.space)
        _check_layer(loaded, layer, len(received))
        return received, whole(received)

    decoded = await engine.run(request, checkpoint, receive, read.is_large)
    received, items = decoded.answer
    labels = np.full(len(items), number)

    def rows(loaded: LoadedModel, start: int, stop: int) -> Rows:
        return items[start:stop], labels[start:stop]

    def finish(loaded: LoadedModel, held: Features) -> bytes:
        return _encoded(chosen, held, [one.name for one in received], layer)

    held = await engine.order(request, checkpoint, Observe(layer), len(items), rows, finish)
    headers = model_headers(model.resolved, [decoded.stages, held.stages])
    return Response(held.answer, media_type=_FORMATS[chosen], headers=headers)


def _check_layer(loaded: LoadedModel, name: str, count: int) -> None:
    """Refuse a layer that is not there, or is too large for so many items.

    Raises:
        Problem: saying which there are, or what to do.
    """
    shapes = {layer.name: layer.shape for layer in layers(loaded.scorer)}
    if name not in shapes:
        detail = f"layers of this discriminator: {', '.join(shapes)}"
        raise parameter_problem("layer-unknown", "layer", detail)
    each = math.prod(shapes[name])
    if count * each > MAX_VALUES:
        detail = (
            f"this layer holds {each} values of an item, and an answer {MAX_VALUES}; send "
            f"{MAX_VALUES // each} items at once, or ask for the means of its maps by {name}:pool"
        )
        raise parameter_problem("sample-too-large", "layer", detail, limit=MAX_VALUES)


def _encoded(chosen: str, held: Features, names: list[str], layer: str) -> bytes:
    if chosen == "npy":
        return encode_array(held)
    buffer = io.BytesIO()
    np.savez(buffer, features=held, names=np.array(names), layer=np.array(layer))
    return buffer.getvalue()


@router.get("/models/{reference}/layers")
async def list_layers(
    request: Request,
    response: Response,
    engine: EngineDep,
    store: StoreDep,
    reference: Annotated[str, Path(max_length=200, description="as model in GET /sample")],
) -> dict[str, Any]:
    """Layers of the discriminator in the order in which items pass them, with their shapes.

    A name that ends in ``:pool`` has the mean of each map of the layer of that name.
    """
    model = await run_in_threadpool(choose_model, store, reference)
    found = await engine.run(
        request, model.resolved.checkpoint, lambda loaded: layers(loaded.scorer)
    )
    response.headers["Server-Timing"] = server_timing([found.stages])
    return {
        "object": "layers",
        "model": model.resolved.reference,
        "checkpoint": model.resolved.checkpoint.digest,
        "default": PENULTIMATE,
        "data": [{"name": layer.name, "shape": layer.shape} for layer in found.answer],
    }
