"""``GET /jobs/{id}/events``: a job's history as it happens, resumable by event id."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from service.deps import JobDep
from service.negotiation import choose_format
from service.problems import Problem, parameter_problem
from worker.store.events import Event
from worker.store.job import Job
from worker.store.records import LIVE

router = APIRouter(prefix="/jobs", tags=["jobs"])

_POLL_SECONDS, _PING_SECONDS = 0.2, 15.0
_LIFETIME_SECONDS = 3600.0
_MAX_STREAMS = 64
# A long history is not held in memory.
_READ_AT_ONCE = 1_000
_FORMATS = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "json": "application/json",
}
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

EventId = Annotated[int, Query(ge=0, le=10**12, description="only events with a larger id")]


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {media_type: {} for media_type in _FORMATS.values()}}},
)
async def events(
    job: JobDep,
    request: Request,
    after: EventId = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="entries of a JSON page")] = 200,
    last_event_id: Annotated[str | None, Header(description="goes on after this event")] = None,
) -> Response:
    """Server-sent events; NDJSON or one JSON page by Accept.

    The stream ends when the job is settled: with ``job.done``, or where the job was paused. It
    also ends after an hour and when the service stops; a reconnect goes on where it ended. A
    reconnect to a settled job with nothing new answers 204, which tells browsers to stop.
    """
    chosen = choose_format(None, request.headers.get("accept"), _FORMATS)
    # First: it may add what a crash left out of the history.
    settled = await asyncio.to_thread(_is_settled, job)
    last_id = await asyncio.to_thread(lambda: job.events.last_id)
    # An id from elsewhere must not silence the stream.
    after = min(max(after, _resumed(last_event_id)), last_id)
    if chosen == "json":
        return JSONResponse(await asyncio.to_thread(_page, job, after, limit))
    if after == last_id and settled:
        return Response(status_code=204)
    if len(request.app.state.streams) >= _MAX_STREAMS:
        raise Problem("overloaded", f"{_MAX_STREAMS} streams are open; ask for JSON pages instead")
    stream = _follow(job, after, request)
    if chosen == "ndjson":
        lines = (json.dumps(event._asdict()) + "\n" async for event in stream if event)
        return StreamingResponse(lines, media_type=_FORMATS["ndjson"], headers=_HEADERS)
    return StreamingResponse(_sse(stream), media_type=_FORMATS["sse"], headers=_HEADERS)


def _resumed(last_event_id: str | None) -> int:
    if last_event_id is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,12}", last_event_id):
        raise parameter_problem(
            "validation", "Last-Event-ID", "Last-Event-ID must be the id of an event: a number"
        )
    return int(last_event_id)


def _page(job: Job, after: int, limit: int) -> dict[str, Any]:
    found = list(islice(job.events.after(after), limit + 1))
    page, has_more = found[:limit], len(found) > limit
    last = page[-1].id if page else after
    data = [event._asdict() for event in page]
    return {"object": "list", "data": data, "has_more": has_more, "last_event_id": last}


def _is_settled(job: Job) -> bool:
    if job.record().status in LIVE:
        return False
    try:
        # Whoever settled the job may still be writing its last events, inside this lock; or it
        # was killed before it had.
        with job.locked() as record:
            job.mend_history(record)
            return record.status not in LIVE
    except FileNotFoundError:
        raise
    except OSError:
        # Where the lock can be neither opened nor made, nobody holds it to write.
        return True


async def _follow(job: Job, after: int, request: Request) -> AsyncIterator[Event | None]:
    """Events as they are written; None now and then, so that a dead connection is noticed."""
    mine = object()
    request.app.state.streams.add(mine)
    try:
        async for event in _told(job, after, request):
            yield event
    finally:
        request.app.state.streams.discard(mine)


async def _told(job: Job, after: int, request: Request) -> AsyncIterator[Event | None]:
    started = spoke = time.monotonic()
    seen, reader = -1, job.events.reader(after)
    state = request.app.state
    while not state.stopping and time.monotonic() - started < _LIFETIME_SECONDS:
        settled = await asyncio.to_thread(_is_settled, job)
        size = job.events.size
        if size != seen:
            seen = size
            while found := await asyncio.to_thread(reader.read, _READ_AT_ONCE):
                for event in found:
                    spoke = time.monotonic()
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
