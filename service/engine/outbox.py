"""The outbox: ended orders on their way from the model threads to the event loop."""

import asyncio
import threading
import time
from collections import deque
from typing import Any

from service.engine.orders import Ending

# Nobody waits longer than this for the rest of a batch to be encoded.
_MOST_SECONDS = 0.005


class Outbox:
    """Tells the event loop of the orders of a batch at once.

    Each time the loop is woken, its thread and a model thread take the interpreter's lock from
    each other; with small images that happens thousands of times a second and costs more than
    they do. Orders end in any thread; all else is for the loop's.
    """

    def __init__(self) -> None:
        self._waiters: dict[Ending[Any], asyncio.Future[None]] = {}
        self._ended: deque[Ending[Any]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sent = 0.0
        self._lock = threading.Lock()

    def expect(self, ending: Ending[Any]) -> asyncio.Future[None]:
        """What is done soon after an order has ended, however that was."""
        self._loop = asyncio.get_running_loop()
        waiter = self._waiters[ending] = self._loop.create_future()
        ending.told = self._put
        return waiter

    def forget(self, ending: Ending[Any]) -> None:
        """Nobody waits for it any longer."""
        self._waiters.pop(ending, None)

    def send(self) -> None:
        """Tell the loop of all orders that have ended; called when a batch is through."""
        with self._lock:
            loop, self._sent = self._loop, time.monotonic()
            if self._ended and loop is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._hand_out)

    def _put(self, ending: Ending[Any]) -> None:
        self._ended.append(ending)
        if time.monotonic() - self._sent > _MOST_SECONDS:
            self.send()

    def _hand_out(self) -> None:
        while self._ended:
            waiter = self._waiters.pop(self._ended.popleft(), None)
            if waiter and not waiter.done():
                waiter.set_result(None)
