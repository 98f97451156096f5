"""The short way to a sample: a request that differs from an earlier one in seed and offset alone.

Looking a model up and checking a dozen parameters takes longer than a small generator takes for an
image. A request that was checked once is kept, without its seed and offset, as a pattern; whoever
asks the same with other digits there gets the same drawing with those digits. Whatever is unusual
goes the long way, through the router.
"""

import logging
import re
from collections import OrderedDict
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ganmodels.latents import MAX_SEED
from service.answering import answer
from service.drawing import MAX_INDEX, Drawing
from service.origins import Seeded
from service.problems import Problem, respond

log = logging.getLogger("ringside.api")

_PATTERNS = 1024
_NUMBER = re.compile(rb"[0-9]{1,19}")


class Pattern(NamedTuple):
    """A drawing that was checked, and its route."""

    drawing: Drawing
    route: Any


class Asked(NamedTuple):
    """A query taken apart: ``key`` is all of it but the digits of seed and offset."""

    key: tuple[bytes, ...]
    seed: int
    offset: int


class Patterns:
    """The latest requests that were checked."""

    def __init__(self) -> None:
        self._patterns: OrderedDict[tuple[bytes, ...], Pattern] = OrderedDict()

    def learn(self, scope: Scope, drawing: Drawing) -> None:
        """Note a drawing that was checked; only those of a seed and a name can be repeated."""
        asked = taken_apart(scope)
        if asked and drawing.resolved.evidence:
            kept = drawing._replace(kept_digest=drawing.digest())
            self._patterns[asked.key] = Pattern(kept, scope.get("route"))
            if len(self._patterns) > _PATTERNS:
                self._patterns.popitem(last=False)

    def find(self, scope: Scope) -> Drawing | None:
        """The drawing that a request means, if one of its pattern was checked."""
        asked = taken_apart(scope)
        pattern = asked and self._patterns.get(asked.key)
        if not asked or not pattern:
            return None
        if not all(one.holds() for one in pattern.drawing.resolved.evidence):
            del self._patterns[asked.key]
            return None
        scope["route"] = pattern.route
        return pattern.drawing._replace(origin=Seeded(asked.seed), offset=asked.offset)


class Shortcut:
    """Answers ``GET /sample`` where a pattern fits; everything else goes on."""

    def __init__(self, app: ASGIApp, patterns: Patterns) -> None:
        self._app, self._patterns = app, patterns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        drawing = None
        if scope["type"] == "http" and scope["path"] == "/sample" and scope["method"] == "GET":
            drawing = self._patterns.find(scope)
        if drawing is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await answer(request, drawing, scope["app"].state.engine, seeded=True)
        except Problem as problem:
            response = respond(request, problem)
        except Exception:
            # Errors are translated around the router, so that is where this one is to happen.
            log.info("the short way failed; the long one says why", exc_info=True)
            await self._app(scope, receive, send)
            return
        await response(scope, receive, send)


def taken_apart(scope: Scope) -> Asked | None:
    """The query of a request with a seed; None where a seed is missing or anything is odd."""
    numbers: dict[bytes, bytes] = {}
    rest = []
    for part in scope["query_string"].split(b"&"):
        name, _, value = part.partition(b"=")
        if name not in (b"seed", b"offset"):
            rest.append(part)
        elif name in numbers or not _NUMBER.fullmatch(value):
            return None
        else:
            numbers[name] = value
    seed, offset = int(numbers.get(b"seed", -1)), int(numbers.get(b"offset", 0))
    if not 0 <= seed <= MAX_SEED or offset > MAX_INDEX:
        return None
    accept = [value for name, value in scope["headers"] if name == b"accept"]
    return Asked((*rest, b"", *accept), seed, offset)
