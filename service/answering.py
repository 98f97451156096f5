"""The answer to a drawing: from the client's cache, from ours, or drawn."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from fastapi import Request, Response
from numpy.typing import NDArray

from service.drawing import Drawing
from service.engine.encoding.formats import FORMATS
from service.engine.engine import Done, Engine
from service.engine.models import LoadedModel
from service.engine.operations import Draw
from service.engine.orders import Stages
from service.etags import matches
from service.origins import Listed, Seeded
from worker.store.references import Resolved

_TIMING = ", ".join(f"{name};dur=%.1f" for name in Stages._fields)
# What an answer says that nothing was computed for.
_KEPT, _NOT_MODIFIED = 'cache;desc="kept"', 'cache;desc="not modified"'


async def answer(request: Request, drawing: Drawing, engine: Engine, seeded: bool) -> Response:
    """What was drawn, encoded; nothing is computed for who has it already.

    ``seeded``: whether the client named what it wants, so that it may be kept.
    """
    encoding = FORMATS[drawing.format]
    headers = drawing_headers(drawing, engine.kind_of_machine, seeded)
    etag = headers["ETag"] if seeded else None
    if unchanged := not_modified(request, engine, headers, etag):
        return unchanged
    if etag and (known := engine.answers.get(etag)) is not None:
        engine.gauges.note_answer("kept")
        headers["Server-Timing"] = _KEPT
        return Response(known, media_type=encoding.content_type, headers=headers)

    def finish(model: LoadedModel, items: NDArray[np.generic]) -> bytes:
        samples = drawing.samples(model, items, encoding.keeps_latents)
        return encoding.encode(samples, drawing.look)

    drawn = await draw(request, engine, drawing, finish)
    if etag:
        engine.answers.put(etag, drawn.answer)
    engine.gauges.note_answer("drawn")
    headers["Server-Timing"] = server_timing([drawn.stages])
    return Response(drawn.answer, media_type=encoding.content_type, headers=headers)


async def draw(
    request: Request,
    engine: Engine,
    drawing: Drawing,
    finish: Callable[[LoadedModel, Any], bytes],
) -> Done[bytes]:
    """What ``finish`` makes of the items of a drawing.

    Raises:
        Problem: as ``Engine.order``.
    """
    checkpoint, count = drawing.resolved.checkpoint, drawing.item_count
    return await engine.order(
        request, checkpoint, Draw(), count, drawing.rows, finish, drawing.takes_long
    )


def not_modified(
    request: Request, engine: Engine, headers: dict[str, str], etag: str | None
) -> Response | None:
    """The answer to a client that has what the ETag names; None to all others."""
    if etag is None or not matches(request.headers.get("if-none-match"), etag):
        return None
    engine.gauges.note_answer("not_modified")
    return Response(status_code=304, headers={**headers, "Server-Timing": _NOT_MODIFIED})


def model_headers(resolved: Resolved, stages: Sequence[Stages] = ()) -> dict[str, str]:
    """What every answer of a model says that nobody may keep; with ``stages``, where time went."""
    timing = {"Server-Timing": server_timing(stages)} if stages else {}
    return {
        "Vary": "Accept",
        "Cache-Control": "no-store",
        "Ringside-Model": resolved.reference,
        "Ringside-Checkpoint": resolved.checkpoint.digest,
        **timing,
    }


def server_timing(stages: Sequence[Stages]) -> str:
    """The sums of the stages in milliseconds, as browsers show them."""
    return _TIMING % tuple(1000 * sum(column) for column in zip(*stages, strict=True))


def drawing_headers(drawing: Drawing, kind_of_machine: str, seeded: bool) -> dict[str, str]:
    """Cache rules: for ever where model and seed are pinned, revalidated where only the seed is."""
    lasting = "private, max-age=31536000, immutable" if drawing.resolved.pinned else "no-cache"
    headers = model_headers(drawing.resolved) | {
        "Cache-Control": lasting if seeded else "no-store",
    }
    if isinstance(drawing.origin, Seeded):
        headers["Ringside-Seed"] = str(drawing.origin.seed)
    if not isinstance(drawing.origin, Listed):
        headers["ETag"] = drawing.etag(kind_of_machine)
    return headers
