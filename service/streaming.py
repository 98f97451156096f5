"""Long answers: more images than are drawn at once, drawn while they are sent.

A client that reads slowly is drawn for slowly, and one that goes is drawn for no longer: no more
than two pieces of an answer ever exist.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any, NamedTuple

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from service.answering import draw, drawing_headers, is_known, not_modified, server_timing
from service.drawing import Drawing, items_at_once
from service.engine.encoding.formats import FORMATS
from service.engine.encoding.layout import Pixels
from service.engine.engine import Done, Engine
from service.engine.models import LoadedModel
from service.problems import RETRY_AFTER_SECONDS, Problem


async def stream(request: Request, drawing: Drawing, engine: Engine, seeded: bool) -> Response:
    """The answer to a drawing of many images, in a format that can be written one by one.

    ``seeded``: whether the client named what it wants, so that it may be kept.

    Raises:
        Problem: before anything is sent; what goes wrong later cuts the connection.
    """
    headers = drawing_headers(drawing, engine.kind_of_machine, seeded)
    etag = headers["ETag"] if seeded else None
    if is_known(request, engine, etag):
        return not_modified(headers)
    checkpoint = drawing.resolved.checkpoint
    labels = (await engine.run(request, checkpoint, drawing.label_names)).answer
    pieces = _Pieces(request, drawing, engine, _Writer(drawing, labels))
    first = await pieces.draw(0)
    engine.gauges.note_answer("drawn")
    # Of the first piece: headers go before the others are drawn.
    headers["Server-Timing"] = server_timing([first.stages])
    kind = FORMATS[drawing.format].content_type
    return StreamingResponse(pieces.all(first.answer), media_type=kind, headers=headers)


class _Writer:
    """Makes bytes of a format, some images at a time."""

    def __init__(self, drawing: Drawing, labels: tuple[str | None, ...]) -> None:
        write = FORMATS[drawing.format].stream
        assert write is not None
        self._images: deque[Pixels] = deque()
        self._chunks = write(
            self._taken(drawing.item_count), labels, drawing.parameters(), drawing.look
        )

    def write(self, images: Pixels) -> bytes:
        """Bytes for about so many images: for each chunk a format takes one image at most."""
        self._images.extend(images)
        return b"".join(islice(self._chunks, len(images)))

    def end(self) -> bytes:
        """All the rest."""
        return b"".join(self._chunks)

    def _taken(self, count: int) -> Iterator[Pixels]:
        for _ in range(count):
            yield self._images.popleft()


class _Pieces(NamedTuple):
    """A drawing, piece by piece; each is drawn while the one before is sent."""

    request: Request
    drawing: Drawing
    engine: Engine
    writer: _Writer

    async def all(self, first: bytes) -> AsyncIterator[bytes]:
        """The bytes of all pieces; those of the first are there already."""
        ready = first
        for start in range(self._size, self.drawing.item_count, self._size):
            coming = asyncio.create_task(self._draw_patiently(start))
            try:
                yield ready
                ready = (await coming).answer
            finally:
                coming.cancel()
        yield ready + self.writer.end()

    async def draw(self, start: int) -> Done[bytes]:
        """The bytes of the piece that begins at item ``start``.

        Raises:
            Problem: when the engine has no place, or took too long.
        """
        part = self.drawing.part(start, min(self._size, self.drawing.item_count - start))

        def write(_: LoadedModel, images: Any) -> bytes:
            return self.writer.write(images)

        return await draw(self.request, self.engine, part, write)

    @property
    def _size(self) -> int:
        return items_at_once(self.drawing.config, self.drawing.look.size)

    async def _draw_patiently(self, start: int) -> Done[bytes]:
        while True:
            try:
                return await self.draw(start)
            except Problem as problem:
                # What was sent already would be lost.
                if problem.code != "overloaded":
                    raise
            await asyncio.sleep(RETRY_AFTER_SECONDS)
