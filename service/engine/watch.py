"""The watch: looks after requests that wait for long."""

import asyncio
import time
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.requests import Request

from service.engine.orders import DeadlinePassed

# Most answers come before anybody looks whether the client is still there.
_PATIENCE_SECONDS, _TICK_SECONDS = 1.0, 0.05


class ClientGone(Exception):  # noqa: N818 - no fault of anybody
    """The client closed the connection before its answer was there."""


class _Waiting(NamedTuple):
    request: Request
    deadline: float
    since: float


class Watch:
    """Ends the wait of requests whose deadline has passed or whose client has gone.

    One timer for all: a timer and a task for each request cost as much as the rest of it. For the
    event loop's thread only.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], _Waiting] = {}
        self._listening: dict[asyncio.Future[None], asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, waiter: asyncio.Future[None], request: Request, deadline: float) -> None:
        """Look after a wait; ``deadline`` is a moment of ``time.monotonic()``.

        The waiter may end with ``DeadlinePassed``, ``ClientGone``, or what went wrong when the
        client was listened to.
        """
        self._waiting[waiter] = _Waiting(request, deadline, time.monotonic())
        if self._timer is None:
            self._wind()

    def end(self, waiter: asyncio.Future[None]) -> None:
        """The wait is over."""
        del self._waiting[waiter]
        if listening := self._listening.pop(waiter, None):
            listening.cancel()

    def _wind(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        for waiter, (request, deadline, since) in self._waiting.items():
            if now > deadline:
                _end(waiter, DeadlinePassed())
            # The oldest come first.
            elif now - since < _PATIENCE_SECONDS:
                break
            elif waiter not in self._listening:
                self._listening[waiter] = asyncio.ensure_future(_listen(waiter, request))
        self._timer = None
        if self._waiting:
            self._wind()


async def _listen(waiter: asyncio.Future[None], request: Request) -> None:
    """End the wait when the client has closed the connection."""
    try:
        while (await request.receive())["type"] != "http.disconnect":
            pass
    except Exception as error:
        _end(waiter, error)
    else:
        _end(waiter, ClientGone())


def _end(waiter: asyncio.Future[Any], error: Exception) -> None:
    with suppress(asyncio.InvalidStateError):
        waiter.set_exception(error)
