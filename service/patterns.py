"""Patterns: requests for samples that were checked once, without their seed and offset."""

import asyncio
import re
from collections import OrderedDict
from typing import Any, NamedTuple

from starlette.responses import Response
from starlette.types import Scope

from ganmodels.latents import MAX_SEED
from service.answering import lasting_headers
from service.drawing import MAX_INDEX, Drawing
from service.engine.encoding.formats import FORMATS
from service.guard import RawHeader, usual_headers
from service.origins import Seeded

_PATTERNS = 1024
# Of the query and the headers that decide, together: patterns stay in memory.
_MOST_KEY_BYTES = 4096
_NUMBER = re.compile(rb"[0-9]{1,19}")
# Of the headers these decide whether a request is served, and what it is given. Others decide
# nothing, or are read anew each time, and those of bodies do not come with a GET.
_DECIDING = frozenset({b"accept", b"authorization", b"host", b"x-api-key"})
_OF_BODIES = frozenset({b"content-length", b"transfer-encoding", b"expect"})

Key = tuple[bytes | RawHeader, ...]


class Pattern(NamedTuple):
    """A drawing that was checked, its route, and the headers that all its answers share."""

    drawing: Drawing
    route: Any
    headers: tuple[RawHeader, ...]
    content_type: RawHeader


class Asked(NamedTuple):
    """A request taken apart: ``key`` is all that decides about it but seed and offset."""

    key: Key
    seed: int
    offset: int


class Found(NamedTuple):
    """What a request means: the drawing of a pattern, with the seed and offset that it names."""

    pattern: Pattern
    drawing: Drawing
    seed: int


class Patterns:
    """Requests that were checked, the latest used. For the event loop's thread only."""

    def __init__(self) -> None:
        self._patterns: OrderedDict[Key, Pattern] = OrderedDict()
        self._confirmed: set[Key] = set()

    def learn(self, scope: Scope, drawing: Drawing) -> None:
        """Note a drawing that was checked; only those of a seed and a name can be repeated."""
        asked = taken_apart(scope)
        if not asked or not drawing.resolved.evidence:
            return
        # The router reads escaped names too, which are not taken apart here.
        if (drawing.origin, drawing.offset) != (Seeded(asked.seed), asked.offset):
            return
        self._confirmed.discard(asked.key)
        self._patterns[asked.key] = _pattern(drawing, scope.get("route"))
        if len(self._patterns) > _PATTERNS:
            self._patterns.popitem(last=False)

    def find(self, scope: Scope) -> Found | None:
        """What a request means, if one of its pattern was checked."""
        asked = taken_apart(scope)
        pattern = asked and self._patterns.get(asked.key)
        if not asked or not pattern:
            return None
        if not self._holds(asked.key, pattern):
            del self._patterns[asked.key]
            return None
        self._patterns.move_to_end(asked.key)
        drawing = pattern.drawing._replace(origin=Seeded(asked.seed), offset=asked.offset)
        return Found(pattern, drawing, asked.seed)

    def _holds(self, key: Key, pattern: Pattern) -> bool:
        """Whether the name still means what it meant, looked up once in a turn of the event loop.

        The server begins with a request in the turn after it has come, so all that is handled in
        one turn came before the first of it was looked up: nobody can have been told of a change
        in between. To look means to give up the interpreter's lock, which a model thread may then
        keep for longer than the whole request takes.
        """
        if key in self._confirmed:
            return True
        if not all(one.holds() for one in pattern.drawing.resolved.evidence):
            return False
        if not self._confirmed:
            asyncio.get_running_loop().call_soon(self._confirmed.clear)
        self._confirmed.add(key)
        return True


def _pattern(drawing: Drawing, route: Any) -> Pattern:
    said = lasting_headers(drawing, seeded=True)
    headers = [(name.lower().encode(), value.encode()) for name, value in said.items()]
    kept = drawing._replace(kept_digest=drawing.digest())
    # As responses write it: of text they name the encoding.
    content_type = Response(media_type=FORMATS[drawing.format].content_type).headers["content-type"]
    shared = (*headers, *usual_headers(headers))
    return Pattern(kept, route, shared, (b"content-type", content_type.encode()))


def taken_apart(scope: Scope) -> Asked | None:
    """A request for a sample; None for others, and where a seed is missing or anything is odd."""
    if scope["path"] != "/sample" or scope["method"] != "GET":
        return None
    numbers: dict[bytes, bytes] = {}
    rest: list[bytes | RawHeader] = []
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
    size = len(scope["query_string"])
    for header in scope["headers"]:
        if header[0] in _DECIDING:
            rest.append(header)
            size += len(header[1])
        elif header[0] in _OF_BODIES:
            return None
    return Asked(tuple(rest), seed, offset) if size <= _MOST_KEY_BYTES else None
