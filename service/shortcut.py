"""The short way to a sample: a request that differs from an earlier one in seed and offset alone.

Checking who asks, looking a model up and reading a dozen parameters takes longer than a small
generator takes for an image, and so do the layers around a route. A request that was checked once
is kept as a pattern; whoever asks the same with other digits there gets the same drawing with those
digits. Whatever is unusual goes the long way, through the guard and the router.
"""

import logging
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.answering import outcome
from service.engine.engine import Engine
from service.guard import RawHeader, request_id, usual_headers
from service.patterns import Found, Patterns
from service.problems import Problem, respond
from service.telemetry import RequestTimes

log = logging.getLogger("ringside.api")


class Shortcut:
    """Answers ``GET /sample`` where a pattern fits; everything else goes on.

    It stands before all else, so it does what the others would: it measures, names the request,
    and says what every answer says. What the guard found is part of the pattern.
    """

    def __init__(
        self, app: ASGIApp, patterns: Patterns, engine: Callable[[], Engine], times: RequestTimes
    ) -> None:
        """``engine`` gives the one that serves, which is made when the application starts."""
        self._app, self._patterns, self._engine, self._times = app, patterns, engine, times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        found = self._patterns.find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        started, request = time.perf_counter(), Request(scope, receive)
        scope["request_id"] = request_id(request.headers.get("x-request-id", ""))
        try:
            status, headers, body = await self._answer(request, found)
        except Exception:
            # Errors are translated around the router, so that is where this one is to happen.
            log.info("the short way failed; the long one says why", exc_info=True)
            await self._app(scope, _once_more(receive), send)
            return
        scope["route"] = found.pattern.route
        try:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        finally:
            self._times.note(scope, status, time.perf_counter() - started)

    async def _answer(self, request: Request, asked: Found) -> tuple[int, list[RawHeader], bytes]:
        """Status, headers and body."""
        engine, named = self._engine(), (b"x-request-id", request.scope["request_id"].encode())
        etag = asked.drawing.etag(engine.kind_of_machine)
        try:
            found = await outcome(request, asked.drawing, engine, etag)
        except Problem as problem:
            refused = respond(request, problem)
            headers = [*refused.raw_headers, named]
            return refused.status_code, headers + usual_headers(headers), bytes(refused.body)
        headers = [
            *asked.pattern.headers,
            named,
            (b"ringside-seed", b"%d" % asked.seed),
            (b"etag", etag.encode()),
            (b"server-timing", found.timing.encode()),
        ]
        if found.status == 200:
            headers += [asked.pattern.content_type, (b"content-length", b"%d" % len(found.body))]
        return found.status, headers, found.body


def _once_more(receive: Receive) -> Receive:
    """What comes from a client of which the end of its request, without a body, may be taken."""
    first = True

    async def receive_again() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        return await receive()

    return receive_again
