"""The answer to a drawing: from the client's cache, from ours, or drawn."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


class Outcome(NamedTuple):
    """What is answered to a drawing: 304 without a body, or 200; and where the time went."""

    status: int
    body: bytes
    timing: str


async def answer(request: Request, drawing: Drawing, engine: Engine, seeded: bool) -> Response:
    """What was drawn, encoded; nothing is computed for who has it already.

    ``seeded``: whether the client named what it wants, so that it may be kept.

    Raises:
        Problem: as ``Engine.order``.
    """
    headers = drawing_headers(drawing, engine.kind_of_machine, seeded)
    found = await outcome(request, drawing, engine, headers["ETag"] if seeded else None)
    headers["Server-Timing"] = found.timing
    media_type = None if found.status == 304 else FORMATS[drawing.format].content_type
    return Response(found.body, found.status, headers, media_type)


async def outcome(request: Request, drawing: Drawing, engine: Engine, etag: str | None) -> Outcome:
    """From the client's cache, from ours, or drawn; ``etag`` is None where nothing may be kept.

    Raises:
        Problem: as ``Engine.order``.
    """
    if is_known(request, engine, etag):
        return Outcome(304, b"", _NOT_MODIFIED)
    if etag and (kept := engine.answers.get(etag)) is not None:
        engine.gauges.note_answer("kept")
        return Outcome(200, kept, _KEPT)
    encoding = FORMATS[drawing.format]

    def finish(model: LoadedModel, items: NDArray[np.generic]) -> bytes:
        samples = drawing.samples(model, items, encoding.keeps_latents)
        return encoding.encode(samples, drawing.look)

    drawn = await draw(request, engine, drawing, finish)
    if etag:
        engine.answers.put(etag, drawn.answer)
    engine.gauges.note_answer("drawn")
    return Outcome(200, drawn.answer, server_timing([drawn.stages]))


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


def is_known(request: Request, engine: Engine, etag: str | None) -> bool:
    """Whether the client has what the ETag names; where it has, this is an answer and is noted."""
    if etag is None or not matches(request.headers.get("if-none-match"), etag):
        return False
    engine.gauges.note_answer("not_modified")
    return True


def not_modified(headers: dict[str, str]) -> Response:
    """The answer to a client that has what it asks for."""
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
    """What ``lasting_headers`` says, and the seed and the ETag where there are any."""
    headers = lasting_headers(drawing, seeded)
    if isinstance(drawing.origin, Seeded):
        headers["Ringside-Seed"] = str(drawing.origin.seed)
    if not isinstance(drawing.origin, Listed):
        headers["ETag"] = drawing.etag(kind_of_machine)
    return headers


def lasting_headers(drawing: Drawing, seeded: bool) -> dict[str, str]:
    """The model, and cache rules: for ever where model and seed are pinned, revalidated where only
    the seed is.
    """
    lasting = "private, max-age=31536000, immutable" if drawing.resolved.pinned else "no-cache"
    return model_headers(drawing.resolved) | {"Cache-Control": lasting if seeded else "no-store"}
