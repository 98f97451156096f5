"""Who waits for long is looked after, by one timer."""

import asyncio
import time
from typing import Any

import pytest
from starlette.requests import Request

from service.engine.orders import DeadlinePassed
from service.engine.watch import ClientGone, Watch

SOON = 5.0


def asking(*messages: str) -> Request:
    """A request whose client sends these, and nothing after them."""
    waiting = iter(messages)

    async def receive() -> Any:
        if (kind := next(waiting, None)) is not None:
            return {"type": kind}
        await asyncio.Event().wait()

    return Request({"type": "http"}, receive)


def ended(request: Request, seconds: float) -> BaseException | None:
    """What the wait of a request with a deadline so far away ends with."""

    async def wait() -> BaseException | None:
        watch, waiter = Watch(), asyncio.get_running_loop().create_future()
        watch.begin(waiter, request, time.monotonic() + seconds)
        try:
            await asyncio.wait([waiter], timeout=SOON)
            return waiter.exception()
        finally:
            watch.end(waiter)

    return asyncio.run(wait())


def test_a_wait_ends_at_its_deadline() -> None:
    assert isinstance(ended(asking(), 0.01), DeadlinePassed)


def test_a_wait_ends_when_the_client_goes() -> None:
    assert isinstance(ended(asking("http.request", "http.disconnect"), 60), ClientGone)


def test_what_goes_wrong_with_listening_ends_the_wait() -> None:
    async def receive() -> Any:
        raise ValueError("too long")

    assert isinstance(ended(Request({"type": "http"}, receive), 60), ValueError)


@pytest.mark.parametrize("count", [1, 5])
def test_who_is_done_is_looked_after_no_longer(count: int) -> None:
    async def wait() -> list[bool]:
        watch, loop = Watch(), asyncio.get_running_loop()
        waiters = [loop.create_future() for _ in range(count)]
        for waiter in waiters:
            watch.begin(waiter, asking("http.disconnect"), time.monotonic())
        for waiter in waiters:
            watch.end(waiter)
        other = loop.create_future()
        watch.begin(other, asking(), time.monotonic())
        await asyncio.wait([other], timeout=SOON)
        assert isinstance(other.exception(), DeadlinePassed)
        watch.end(other)
        return [waiter.done() for waiter in waiters]

    assert not any(asyncio.run(wait()))
