"""``GET /jobs/{id}/events``: a job's history as it happens, resumable by event id."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from service.deps import JobDep
from service.negotiation import choose_format
from worker.store.events import Event
from worker.store.jobs import LIVE, Job

router = APIRouter(prefix="/jobs", tags=["jobs"])

_POLL_SECONDS, _PING_SECONDS = 0.2, 15.0
_LIFETIME_SECONDS = 3600.0
_FORMATS = {
    "sse": "text/event-stream", "ndjson": "application/x-ndjson", "json": "application/json"
}
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

EventId = Annotated[int, Query(ge=0, le=10**12, description="only events with a larger id")]


@router.get(
    "/{job_id}/events", response_class=StreamingResponse,
    responses={200: {"content": {media_type: {} for media_type in _FORMATS.values()}}},
)
async def events(
    job: JobDep,
    request: Request,
    after: EventId = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="entries of a JSON page")] = 200,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """Server-sent events; NDJSON or one JSON page by Accept.

    The stream ends with ``job.done``. A reconnect to a settled job with nothing new answers 204,
    which tells browsers to stop.
    """
    chosen = choose_format(None, request.headers.get("accept"), _FORMATS)
    if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit():
        after = max(after, int(last_event_id))
    waiting = await asyncio.to_thread(_read, job, after, limit)
    if chosen == "json":
        return JSONResponse({"object": "list", "data": [event._asdict() for event in waiting]})
    if not waiting and job.record().status not in LIVE:
        return Response(status_code=204)
    stream = _follow(job, after, request)
    if chosen == "ndjson":
        lines = (json.dumps(event._asdict()) + "\n" async for event in stream if event)
        return StreamingResponse(lines, media_type=_FORMATS["ndjson"], headers=_HEADERS)
    return StreamingResponse(_sse(stream), media_type=_FORMATS["sse"], headers=_HEADERS)


async def _follow(job: Job, after: int, request: Request) -> AsyncIterator[Event | None]:
    """Events as they are written; None now and then, so that a dead connection is noticed."""
    started = spoke = time.monotonic()
    seen = -1
    while time.monotonic() - started < _LIFETIME_SECONDS:
        settled = job.record().status not in LIVE
        size = job.events.size
        if size != seen:
            seen = size
            for event in await asyncio.to_thread(_read, job, after, None):
                after, spoke = event.id, time.monotonic()
                yield event
        if settled or await request.is_disconnected():
            return
        if time.monotonic() - spoke > _PING_SECONDS:
            spoke = time.monotonic()
            yield None
        await asyncio.sleep(_POLL_SECONDS)


async def _sse(stream: AsyncIterator[Event | None]) -> AsyncIterator[str]:
    yield "retry: 3000\n\n"
    async for event in stream:
        if event is None:
            yield ": ping\n\n"
        else:
            data = json.dumps({"at": event.at, **event.data})
            yield f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n"


def _read(job: Job, after: int, limit: int | None) -> list[Event]:
    found = []
    for event in job.events.after(after):
        found.append(event)
        if len(found) == limit:
            break
    return found
